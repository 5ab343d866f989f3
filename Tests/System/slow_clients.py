"""Thousands of slow clients beside a few honest ones (RELIABILITY.md, C6). By hand:

    python Tests/System/slow_clients.py [--count 10000] [--seconds 60] [--binary FILE] [KIND…]

prints for each kind (header, body, idle, read) what an honest client waits with and without them, what each of
them costs in memory, and when they were cut. The suite runs a smaller form of it (test_slow_clients.py).
"""

import argparse
import os
import resource
import selectors
import socket
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

HEAD = b"HTTP/1.1\r\nHost: a\r\n"
KINDS = ("header", "body", "idle", "read")


@dataclass
class Result:
    kind: str
    connected: int
    cut: int
    first_cut: float
    last_cut: float
    bytes_each: int
    alone: tuple
    beside: tuple
    failed: int

    def __str__(self):
        cut = f"{self.cut} cut" + (f" between {self.first_cut:.1f} and {self.last_cut:.1f} s" if self.cut else "")
        return (f"{self.kind:7} {self.connected} connected, {cut}; {self.bytes_each / 1024:.1f} KiB each; "
                f"honest p50/p99 {self.alone[0]:.2f}/{self.alone[1]:.2f} ms alone, "
                f"{self.beside[0]:.2f}/{self.beside[1]:.2f} ms beside them; {self.failed} failed")


def resident(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


class Honest:
    """One client after another asks for a page, `rate` times a second, on one connection that it keeps."""

    def __init__(self, host, port, path, rate=200):
        self.address, self.path, self.rate = (host, port), path, rate
        self.failed = 0

    def ask(self, connection):
        connection.sendall(b"GET %s %s\r\n" % (self.path.encode(), HEAD))
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += connection.recv(65536) or self.fail()
        head, _, body = answer.partition(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        while len(body) < length:
            body += connection.recv(65536) or self.fail()
        assert head.startswith(b"HTTP/1.1 200 "), head

    def fail(self):
        raise ConnectionError("closed")

    def measure(self, seconds):
        """p50 and p99 of the waits, in milliseconds."""
        waits, end = [], time.monotonic() + seconds
        connection = None
        while (now := time.monotonic()) < end:
            try:
                if not connection or len(waits) % 50 == 0:
                    connection = socket.create_connection(self.address, 10)
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.ask(connection)
                waits.append((time.monotonic() - now) * 1000)
            except (OSError, AssertionError):
                self.failed += 1
                connection = None
            time.sleep(max(0, 1 / self.rate - (time.monotonic() - now)))
        waits.sort()
        return statistics.median(waits), waits[int(len(waits) * 0.99)]


class Slow:
    """The slow clients of one kind: each connects, says its word, and dribbles."""

    def __init__(self, kind, host, port, topic, count):
        self.kind, self.address, self.topic, self.count = kind, (host, port), topic, count
        self.selector = selectors.EpollSelector()
        self.sockets, self.cuts = [], []
        self.stop = threading.Event()

    def connect(self):
        self.started = time.monotonic()
        for index in range(self.count):
            one = socket.socket()
            if self.kind == "read":
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            # Loopback has one port range for each address of a client.
            one.bind((f"127.0.0.{1 + index % 8}", 0))
            one.connect(self.address)
            one.setblocking(False)
            one.send(self.word())
            self.sockets.append(one)
            if self.kind != "read":
                self.selector.register(one, selectors.EVENT_READ)

    def word(self):
        return {
            "header": b"GET /livez " + HEAD + b"X-Slow: ",
            "body": b"POST /v1/topics/%s/records %sContent-Type: application/json\r\n"
                    b"Content-Length: 100000\r\n\r\n{" % (self.topic.encode(), HEAD),
            "idle": b"GET /livez " + HEAD + b"\r\n",
            "read": b"GET /v1/topics/%s/records?from=earliest " % self.topic.encode() + HEAD
                    + b"Accept: application/x-ndjson\r\n\r\n",
        }[self.kind]

    def dribble(self):
        """A byte of each now and then, and a note of when they were closed."""
        while not self.stop.is_set():
            for key, _ in self.selector.select(0.2):
                try:
                    gone = not key.fileobj.recv(65536)
                except OSError:
                    gone = True
                if gone:
                    self.cuts.append(time.monotonic() - self.started)
                    self.selector.unregister(key.fileobj)
            if self.kind in ("header", "body"):
                for key in list(self.selector.get_map().values())[::7]:
                    try:
                        key.fileobj.send(b"a")
                    except OSError:
                        pass

    def close(self):
        self.stop.set()
        for one in self.sockets:
            one.close()


def measure(server, kind, count, seconds):
    """Alone, then beside `count` slow clients of one kind. `server` has `host`, `port` and `process`."""
    honest = Honest(server.host, server.port, "/v1/topics/slow/records?from=earliest&maxRecords=5")
    alone = honest.measure(min(seconds, 10))
    before = resident(server.process.pid)
    slow = Slow(kind, server.host, server.port, "slow", count)
    slow.connect()
    thread = threading.Thread(target=slow.dribble, daemon=True)
    thread.start()
    most = [0]

    def watch():
        while not slow.stop.is_set():
            most[0] = max(most[0], resident(server.process.pid) - before)
            time.sleep(0.1)

    threading.Thread(target=watch, daemon=True).start()
    beside = honest.measure(seconds)
    slow.close()
    thread.join()
    return Result(
        kind, len(slow.sockets), len(slow.cuts), min(slow.cuts, default=0), max(slow.cuts, default=0),
        most[0] // count, alone, beside, honest.failed)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--binary")
    parser.add_argument("kinds", nargs="*", default=KINDS)
    options = parser.parse_args()
    if options.binary:
        os.environ["MILLRACE_BINARY"] = options.binary
    import millrace

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < options.count + 500:
        try:
            hard = options.count + 1000
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except ValueError:
            sys.exit(f"{options.count} clients need more descriptors: ulimit -n {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for kind in options.kinds:
        with tempfile.TemporaryDirectory() as directory:
            with millrace.Millrace(Path(directory) / "log") as server:
                prepare(server)
                print(measure(server, kind, options.count, options.seconds), flush=True)


def prepare(server):
    server.create("slow")
    server.append("slow", ["some words of a record " * 4] * 2000)


if __name__ == "__main__":
    main()
