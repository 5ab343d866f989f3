"""Clients whose host vanishes without a word, in a network namespace whose link is taken down."""

import json
import os
import subprocess
import sys
import time

import pytest

from groups import Member, members
from millrace import Millrace, until

# Seconds until the server takes a peer for vanished: `Limits.silence`, and the time between two
# signs of life that it may have been waiting for.
SILENCE = 45
SESSION = 3

CLIENT = """
import socket, sys
host, port, request = sys.argv[1], int(sys.argv[2]), sys.argv[3].encode().decode("unicode_escape")
connection = socket.create_connection((host, port), 10)
connection.sendall(request.encode())
connection.settimeout(None)
print("sent", flush=True)
while connection.recv(65536):
    pass
"""


def ip(*arguments, check=True):
    return subprocess.run(["ip", *arguments], check=check, capture_output=True, text=True)


@pytest.fixture
def far_host():
    """The name of a network namespace, and the address under which it reaches this one."""
    name, number = f"millrace-{os.getpid()}", os.getpid() % 200
    here, there = f"10.231.{number}.1", f"10.231.{number}.2"
    try:
        ip("netns", "add", name)
        ip("link", "add", f"mr{number}", "type", "veth", "peer", "name", "far", "netns", name)
        ip("addr", "add", f"{here}/30", "dev", f"mr{number}")
        ip("link", "set", f"mr{number}", "up")
        ip("-n", name, "addr", "add", f"{there}/30", "dev", "far")
        ip("-n", name, "link", "set", "far", "up")
    except FileNotFoundError:
        pytest.skip("ip is not installed (Debian's iproute2)")
    except subprocess.CalledProcessError as error:
        ip("netns", "del", name, check=False)
        pytest.skip(f"no network namespace can be made here: {error.stderr.strip()}")
    yield name, here
    ip("link", "del", f"mr{number}", check=False)
    ip("netns", "del", name, check=False)


def test_a_member_whose_host_vanished_ends_in_bounded_time(data, far_host):
    """A half-open connection: no end comes, and being connected is no sign of life any more."""
    name, here = far_host
    with Millrace(data, "--allow-anonymous", listen=f"{here}:0") as server:
        server.create("t", partitions=4)
        poller = Member(server, "polling", "t", sessionTimeoutMs=SESSION * 1000)
        streamer = Member(server, "streaming", "t", sessionTimeoutMs=SESSION * 1000)
        body = json.dumps({"memberEpoch": poller.epoch, "waitMs": 60_000})
        requests = (
            f"POST {poller.path}/poll HTTP/1.1\r\nHost: {here}\r\nContent-Length: {len(body)}"
            f"\r\n\r\n{body}",
            f"GET {streamer.path}/records?memberEpoch={streamer.epoch} HTTP/1.1\r\nHost: {here}"
            "\r\nAccept: text/event-stream\r\n\r\n",
        )
        clients = [
            subprocess.Popen(
                ["ip", "netns", "exec", name, sys.executable, "-c", CLIENT, here,
                 str(server.port), request.encode("unicode_escape").decode()],
                stdout=subprocess.PIPE, text=True)
            for request in requests
        ]
        try:
            assert [c.stdout.readline() for c in clients] == ["sent\n"] * 2
            time.sleep(SESSION + 2)
            assert members(server, "polling") and members(server, "streaming"), "both live"
            ip("-n", name, "link", "set", "far", "down")
            vanished = time.monotonic()
            # Nobody else joins meanwhile: that would end the poll and the stream.
            until(lambda: not members(server, "polling") and not members(server, "streaming"),
                  SILENCE * 1.5 + SESSION + 5)
            assert time.monotonic() - vanished > SESSION, "the connection was all that kept them"
        finally:
            for client in clients:
                client.kill()
                client.wait()
