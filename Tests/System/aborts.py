"""Clients that break off, in every state a connection can be in: what is left of them afterwards.

    python Tests/System/aborts.py [--count 100000]

Prints a table; ends with status 1 where a descriptor is left, memory grew with the clients, or the server died."""

import argparse
import os
import socket
import struct
import sys
import tempfile
import time
from pathlib import Path

from millrace import Millrace, until

HOST = b" HTTP/1.1\r\nHost: a\r\n"
STATES = {
    "connected only": b"",
    "half a head": b"GET /v1/topics HTT",
    "half a body": b"POST /v1/topics/t/records" + HOST + b"Content-Length: 99\r\n\r\nx",
    "a page unread": b"GET /v1/topics/t/records" + HOST + b"\r\n",
    "a long-poll": b"GET /v1/topics/t/records?from=latest&waitMs=60000" + HOST + b"\r\n",
    "a full stream": b"GET /v1/topics/t/records" + HOST + b"Accept: text/event-stream\r\n\r\n",
    "an idle stream": b"GET /v1/topics/t/records?from=latest" + HOST + b"Accept: application/x-ndjson\r\n\r\n",
    "requests behind it": (b"GET /v1/topics/t/records" + HOST + b"\r\n") * 8,
}
ENDS = ("close", "reset", "half", "read a little")


def abort(server, count, first=0):
    """`count` clients, one behind the other, through all states and ends in turn."""
    states = list(STATES.values())
    for number in range(first, first + count):
        with socket.create_connection((server.host, server.port)) as client:
            client.sendall(states[number % len(states)])
            end = ENDS[number // len(states) % len(ENDS)]
            if end == "reset":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif end == "half":
                client.shutdown(socket.SHUT_WR)
            elif end == "read a little" and number % len(states) > 2:
                client.settimeout(0.02)
                try:
                    client.recv(100)
                except TimeoutError:
                    pass


def prepare(server):
    server.create("t")
    server.append("t", ["x" * 100_000 for _ in range(5)])


def descriptors(server):
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def kilobytes(server):
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def judge(server, count):
    """Aborts that many and waits until nothing is left; (descriptors, KiB of growth, seconds)."""
    prepare(server)
    server.get("/livez")
    base = descriptors(server)
    # The first ones make the pools and arenas that stay.
    abort(server, count // 10)
    until(lambda: descriptors(server) <= base, 30)
    before, started = kilobytes(server), time.monotonic()
    abort(server, count - count // 10, count // 10)
    seconds = time.monotonic() - started
    until(lambda: descriptors(server) <= base, 30)
    assert server.process.poll() is None and server.get("/livez").status == 200
    assert server.page("t")["records"]
    return descriptors(server) - base, kilobytes(server) - before, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, Millrace(Path(directory) / "data") as server:
        left, growth, seconds = judge(server, options.count)
    print("| Clients that broke off | seconds | descriptors left | memory grown |\n|---|---|---|---|")
    print(f"| {options.count} | {seconds:.1f} | {left} | {growth / 1024:.1f} MiB |")
    sys.exit(1 if left > 0 or growth > 30_000 else 0)


if __name__ == "__main__":
    main()
