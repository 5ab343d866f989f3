"""The 490 HTTP/1.1 request vectors against the running program: behind each stands a canary that must be
answered after a good request and must not be after a bad one (RELIABILITY.md, d-1)."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FILE = Path(__file__).resolve().parents[1] / "HTTPServerTests" / "Vectors" / "http1_vectors.json"
CANARY = b"GET /canary HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def exchange(server, raw):
    """What came back, and whether the server closed."""
    received = b""
    with socket.create_connection((server.host, server.port), 5) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(3)
        try:
            connection.sendall(raw)
            while more := connection.recv(65536):
                received += more
        except TimeoutError:
            return received, False
        except OSError:
            pass
    return received, True


def statuses(received):
    """Final statuses of the answers, each read by its own framing; -1 for bytes that are none."""
    found = []
    while received:
        head, separator, received = received.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 ") or not separator:
            return found + [-1]
        status = int(head[9:12])
        if status < 200:
            continue
        found.append(status)
        fields = dict(
            line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line
        )
        length = int(fields.get(b"content-length", b"0"))
        assert b"transfer-encoding" not in fields, "no vector asks for a stream"
        received = received[length:]
    return found


def is_right(expect, found, closed):
    first = found[0] if found else None
    if expect == "accept":
        return len(found) == 2 and first not in (400, 411, 413, 414, 431, 501, 505)
    if expect == "reject":
        return len(found) <= 1 and closed and (first is None or first >= 400 or first == -1)
    if expect == "either":
        return len(found) <= 2
    return first in [int(status) for status in expect.removeprefix("status:").split(",")]


def test_all_490_vectors_get_their_verdict(server):
    vectors = json.loads(FILE.read_text())
    assert len(vectors) == 490

    def judge(vector):
        raw = vector["raw"].encode("latin-1")
        received, closed = exchange(server, raw + CANARY)
        found = statuses(received)
        return None if is_right(vector["expect"], found, closed) else (vector["id"], found, closed)

    with ThreadPoolExecutor(16) as pool:
        wrong = [verdict for verdict in pool.map(judge, vectors) if verdict]
    assert wrong == []
