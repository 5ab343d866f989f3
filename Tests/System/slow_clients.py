"""Slow clients beside honest ones: what the honest feel, what a slow one costs, and whether it is cut.

    python Tests/System/slow_clients.py [--clients 10000] [--seconds 60] [--kinds header,body,idle,read]

Each kind in turn keeps that many connections: `header` sends a field every 5 s and never ends its head,
`body` a byte of its body every 5 s, `idle` nothing after one answer, `read` asks for 100 pages of
1 KiB and takes none. Who is cut comes again. The honest client sends 200 requests a second, half of them produce.
Prints a table, with the share of a core that the server took and that this program took itself, and how each
honest request that failed did; ends with status 1 where one did."""

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


def honest(host, port, seconds, pipe):
    """Latencies in ms of 200 requests a second, and how those that failed did."""
    times, failed = [], []
    connection = http.client.HTTPConnection(host, port, timeout=10)
    end = time.monotonic() + seconds
    due = time.monotonic()
    while due < end:
        due += 0.005
        time.sleep(max(0, due - time.monotonic()))
        started = time.monotonic()
        try:
            if len(times) % 2:
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
            failed.append(f"request {len(times)}, {took:.3f} s: {error!r}")
            connection.close()
        times.append((time.monotonic() - started) * 1000)
    pipe.send((sorted(times), failed))


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
        """One look at what happened; new clients come at 2,000 a second at most."""
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


def measure(server, kind, clients, seconds):
    """One row: the honest client's p99 beside `clients` slow ones of a kind."""
    before = memory(server.process)
    slow = Slow(kind, server.host, server.port)
    deadline = time.monotonic() + 60
    while len(slow.open) < clients and time.monotonic() < deadline:
        slow.turn(clients)
        slow.trickle()
    # Spawned: a fork would keep every slow client open that this process closes.
    spawned = multiprocessing.get_context("spawn")
    mine, theirs = spawned.Pipe()
    process = spawned.Process(target=honest, args=(server.host, server.port, seconds, theirs))
    process.start()
    most, held, last = before, 0, 0
    began, server_cpu, own_cpu = time.monotonic(), cpu(server.process), time.process_time()
    while process.is_alive() and not mine.poll():
        slow.turn(clients)
        slow.trickle()
        if time.monotonic() - last > 1:
            last = time.monotonic()
            most, held = max(most, memory(server.process)), max(held, len(slow.open))
    times, failed = mine.recv()
    took = time.monotonic() - began
    server_cpu, own_cpu = cpu(server.process) - server_cpu, time.process_time() - own_cpu
    process.join()
    for client in list(slow.open):
        client.close()
    return {
        "kind": kind, "p50": times[len(times) // 2], "p99": times[len(times) * 99 // 100],
        "failed": failed, "held": held, "cut": slow.cut,
        "life": max(slow.lives, default=0.0), "server": server_cpu / took, "own": own_cpu / took,
        "bytes": (most - before) * 1024 * 1024 / max(1, held),
    }


def run(clients, seconds, kinds, data):
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    rows = []
    for kind in kinds:
        # All come from one address here, as no real ones do.
        with Millrace(data / kind, "--max-connections-per-address", 2 * clients) as server:
            server.create("slow")
            server.create("honest")
            for _ in range(10):
                server.append("slow", ["x" * 1000] * 100)
            alone = measure(server, "idle", 0, min(seconds, 10))
            row = measure(server, kind, clients, seconds)
            row["alone"] = alone["p99"]
            row["failed"] += alone["failed"]
            assert server.process.poll() is None
            rows.append(row)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--kinds", default="header,body,idle,read")
    options = parser.parse_args()
    print("| Slow clients | held | cut | longest life | honest p99 with / without | memory of one "
          "| CPU of server, of clients | failed |")
    print("|---|---|---|---|---|---|---|---|")
    failed = 0
    with tempfile.TemporaryDirectory() as directory:
        for kind in options.kinds.split(","):
            row = run(options.clients, options.seconds, [kind], Path(directory))[0]
            failed += len(row["failed"])
            print(f"| {kind} | {row['held']} | {row['cut']} | {row['life']:.1f} s | {row['p99']:.2f} / "
                  f"{row['alone']:.2f} ms | {row['bytes'] / 1024:.1f} KiB | {row['server']:.0%}, {row['own']:.0%} "
                  f"| {len(row['failed'])} |", flush=True)
            for failure in row["failed"]:
                print(f"{kind}: {failure}", file=sys.stderr, flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
