"""Slow clients beside honest ones: what the honest feel, what a slow one costs, and whether it is cut.

    python Tests/System/slow_clients.py [--clients 10000] [--seconds 60] [--kinds header,body,idle,read]

Each kind in turn keeps that many connections: `header` sends a field every 5 s and never ends its head,
`body` a byte of its body every 5 s, `idle` nothing after one answer, `read` asks for 100 pages of
1 KiB and takes none. Who is cut comes again at once. The honest client sends 200 requests a second, half of them produce.
The server has one core and the clients have the others, of which the slow ones take what the honest one leaves
(`--equal`: as much as it): on one machine, that is the nearest to clients on machines of their own.
Prints a table: the honest client's p99 without them, with them at another server on this machine, and with them at
its own; the share of a core that the server took and the slow clients took; and how each honest request that
failed did. Ends with status 1 where one did."""

import argparse
import http.client
import multiprocessing
import os
import resource
import select
import socket
import sys
import tempfile
import time
from pathlib import Path

from millrace import Millrace

INTERVAL = 5
FIRST = {
    "header": b"GET /livez HTTP/1.1\r\nHost: a\r\n",
    "body": b"POST /v1/topics/slow/records HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n"
            b"Content-Length: 100000\r\n\r\nx",
    "idle": b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n",
    "read": b"GET /v1/topics/slow/partitions/0/records?offset=0&maxRecords=1 HTTP/1.1\r\nHost: a\r\n\r\n" * 100,
}
MORE = {"header": b"X: y\r\n", "body": b"x"}


def honest(server, seconds):
    """Latencies in ms of 200 requests a second, how those that failed did, and the most memory the server had."""
    times, failed, most = [], [], memory(server.process)
    connection = http.client.HTTPConnection(server.host, server.port, timeout=10)
    due = time.monotonic()
    for number in range(seconds * 200):
        due += 0.005
        time.sleep(max(0, due - time.monotonic()))
        started = time.monotonic()
        try:
            if number % 2:
                connection.request("GET", "/livez")
            else:
                connection.request(
                    "POST", "/v1/topics/honest/records?acks=leader", b"x", {"content-type": "text/plain"})
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                failed.append(f"{answer.status} {body[:200]!r}")
        except (OSError, http.client.HTTPException) as error:
            took = time.monotonic() - started
            failed.append(f"request {number}, {took:.3f} s: {error!r}")
            connection.close()
        times.append((time.monotonic() - started) * 1000)
        if number % 200 == 0:
            most = max(most, memory(server.process))
    return sorted(times), failed, most


class Epoll:
    """epoll by socket; hang-ups and errors are always told."""

    def __init__(self):
        self.epoll, self.clients = select.epoll(), {}

    def register(self, client, events):
        self.clients[client.fileno()] = client
        self.epoll.register(client.fileno(), events)

    def unregister(self, client):
        del self.clients[client.fileno()]
        self.epoll.unregister(client.fileno())

    def poll(self):
        return [(self.clients[fd], events) for fd, events in self.epoll.poll(0.05)]


class Slow:
    """Connections of one kind, kept up until told to stop."""

    def __init__(self, kind, host, port):
        self.kind, self.address = kind, (host, port)
        self.selector = Epoll()
        self.open = {}
        self.cut, self.lives = 0, []

    def add(self):
        client = socket.socket()
        client.setblocking(False)
        if self.kind == "read":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect_ex(self.address)
        self.selector.register(client, select.EPOLLOUT)
        self.open[client] = [time.monotonic(), None]

    def end(self, client):
        begun, sent = self.open.pop(client)
        self.selector.unregister(client)
        client.close()
        if sent:
            self.cut += 1
            self.lives.append(time.monotonic() - begun)

    def register(self, client):
        """From now on: what there is to read; of a reader that takes nothing, only whether it is cut."""
        self.selector.unregister(client)
        self.selector.register(client, 0 if self.kind == "read" else select.EPOLLIN)

    def turn(self, want):
        """One look at what happened; 100 new clients at a time."""
        for _ in range(min(100, want - len(self.open))):
            self.add()
        for client, events in self.selector.poll():
            state = self.open[client]
            try:
                if state[1] is None and events & select.EPOLLOUT:
                    client.send(FIRST[self.kind])
                    state[1] = time.monotonic()
                    self.register(client)
                elif self.kind == "read":
                    # Hung up or broken: it takes nothing, so that is all it can see.
                    self.end(client)
                elif not client.recv(65536):
                    self.end(client)
            except BlockingIOError:
                pass
            except OSError:
                self.end(client)

    def trickle(self):
        """The next bytes of each whose time has come."""
        more, now = MORE.get(self.kind), time.monotonic()
        if more is None:
            return
        for client, state in list(self.open.items()):
            if state[1] and now - state[1] >= INTERVAL:
                state[1] = now
                try:
                    client.send(more)
                except OSError:
                    self.end(client)


def memory(process):
    text = Path(f"/proc/{process.pid}/status").read_text()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("VmRSS"))) / 1024


def cpu(process):
    """Seconds of CPU so far."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def attack(kind, host, port, clients, equal, pipe):
    """Keeps slow clients until told to stop, in a process of its own."""
    if not equal:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    slow = Slow(kind, host, port)
    deadline = time.monotonic() + 60
    while len(slow.open) < clients and time.monotonic() < deadline:
        slow.turn(clients)
        slow.trickle()
    held, before = len(slow.open), time.process_time()
    pipe.send(held)
    while not pipe.poll():
        slow.turn(clients)
        slow.trickle()
        held = max(held, len(slow.open))
    pipe.send((held, slow.cut, max(slow.lives, default=0.0), time.process_time() - before))


def beside(server, target, kind, options):
    """What an honest client of `server` finds while slow ones are at `target`, and what they found."""
    spawned = multiprocessing.get_context("spawn")
    mine, theirs = spawned.Pipe()
    process = spawned.Process(
        target=attack, args=(kind, target.host, target.port, options.clients, options.equal, theirs))
    process.start()
    mine.recv()
    began = cpu(server.process)
    found = honest(server, options.seconds)
    server_cpu = cpu(server.process) - began
    mine.send("stop")
    slow = mine.recv()
    process.join()
    return found, slow, server_cpu


def run(kind, options, data):
    """One row of the table."""
    def start(name):
        # All come from one address here, as no real ones do.
        return Millrace(
            data / f"{kind}-{name}", "--max-connections-per-address", 2 * options.clients,
            wrapper=["taskset", "-c", str(options.core)])

    with start("own") as server, start("other") as other:
        for each in (server, other):
            each.create("slow")
            each.create("honest")
            for _ in range(10):
                each.append("slow", ["x" * 1000] * 100)
        alone, failed_alone, before = honest(server, options.seconds)
        (elsewhere, failed_elsewhere, _), _, _ = beside(server, other, kind, options)
        (times, failed, most), (held, cut, life, own_cpu), server_cpu = beside(server, server, kind, options)
        assert server.process.poll() is None
    return {
        "held": held, "cut": cut, "life": life, "failed": failed_alone + failed_elsewhere + failed,
        "p99": [each[len(each) * 99 // 100] for each in (alone, elsewhere, times)],
        "bytes": (most - before) * 1024 * 1024 / max(1, held),
        "server": server_cpu / options.seconds, "own": own_cpu / options.seconds,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--kinds", default="header,body,idle,read")
    parser.add_argument("--equal", action="store_true")
    options = parser.parse_args()
    options.core, *others = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, others or [options.core])
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    print("| Slow clients | held | cut | longest life | honest p99 without, at another server, at its own | memory of one "
          "| CPU of server, of clients | failed |")
    print("|---|---|---|---|---|---|---|---|")
    failed = 0
    with tempfile.TemporaryDirectory() as directory:
        for kind in options.kinds.split(","):
            row = run(kind, options, Path(directory))
            failed += len(row["failed"])
            p99 = ", ".join(f"{each:.2f}" for each in row["p99"])
            print(f"| {kind} | {row['held']} | {row['cut']} | {row['life']:.1f} s | {p99} ms "
                  f"| {row['bytes'] / 1024:.1f} KiB | {row['server']:.0%}, {row['own']:.0%} "
                  f"| {len(row['failed'])} |", flush=True)
            for failure in row["failed"]:
                print(f"{kind}: {failure}", file=sys.stderr, flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
