"""What HTTP/2 clients have done to servers (RELIABILITY.md, d-2): each probe is ended within two seconds, or
costs nothing that grows; memory grows by less than 5 MiB, and others are served."""

import os
import socket
import threading
import time

import pytest

from http2 import *
from millrace import Millrace
from test_stream import memory

GROWTH = 5 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Millrace(tmp_path_factory.mktemp("data") / "log") as running:
        running.create("waiting")
        running.create("full")
        running.append("full", ["x" * 500_000] * 4)
        running.page("full", "?from=earliest&maxBytes=4000000")
        yield running
        assert running.process.poll() is None


class Judge:
    """Holds the server's memory against what it was, and asks it for an answer."""

    def __init__(self, server):
        self.server = server

    def __enter__(self):
        self.before = memory(self.server)
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            growth = memory(self.server) - self.before
            assert growth < GROWTH, f"{growth} bytes more"
            assert self.server.get("/livez", timeout=5).status == 200


def flood(server, block, codes=(ENHANCE_YOUR_CALM,), before=lambda c: None, seconds=2, **options):
    """Sends the block again and again until the connection ends, and sees why it did."""
    with Judge(server), Connection(server, **options) as c:
        before(c)
        stop = threading.Event()

        def pour():
            while not stop.is_set():
                try:
                    c.socket.sendall(block() if callable(block) else block)
                except OSError:
                    return

        thread = threading.Thread(target=pour, daemon=True)
        started = time.monotonic()
        thread.start()
        try:
            while True:
                c.read()
        except (Closed, TimeoutError):
            pass
        stop.set()
        took = time.monotonic() - started
        thread.join(5)
        assert c.is_closed and took < seconds, c
        # A reset that closed the connection may take the GOAWAY with it.
        assert c.goaway in (*codes, None), c


def numbered(c, make):
    """A block of a hundred new streams."""
    c.next = getattr(c, "next", 1)
    out = b""
    for _ in range(100):
        out += make(c.next)
        c.next += 2
    return out


def streams(server, make, **options):
    holder = {}

    def before(c):
        holder["c"] = c

    flood(server, lambda: numbered(holder["c"], lambda s: make(holder["c"], s)), before=before, **options)


def wait_for_ever(c, stream):
    return frame(HEADERS, END_HEADERS | END_STREAM, stream,
                 c.block(path="/v1/topics/waiting/records?waitMs=30000"))


def test_rapid_reset(server):
    """CVE-2023-44487."""
    streams(server, lambda c, s: wait_for_ever(c, s) + frame(RST_STREAM, 0, s, b"\0\0\0\x08"))


def test_a_flood_of_PING(server):
    """CVE-2019-9512."""
    flood(server, frame(PING, 0, 0, b"12345678") * 100)


def test_a_flood_of_SETTINGS(server):
    """CVE-2019-9515."""
    flood(server, frame(SETTINGS, 0, 0, setting(WINDOW, 65535)) * 100)


def test_a_flood_of_PRIORITY(server):
    """CVE-2019-9513."""
    flood(server, frame(PRIORITY, 0, 3, b"\0\0\0\0\x10") * 100)


def test_a_flood_of_empty_DATA(server):
    """CVE-2019-9518."""
    flood(server, frame(DATA, 0, 1) * 100, before=open_upload)


def test_a_flood_of_DATA_that_is_all_padding(server):
    flood(server, frame(DATA, PADDED, 1, b"\x03\0\0\0") * 100, before=open_upload)


def open_upload(c):
    c.headers(1, method="POST", path="/v1/topics/waiting/records", end=False,
              extra=[("content-type", "application/x-ndjson")])


def test_a_flood_of_WINDOW_UPDATE(server):
    flood(server, frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\x01") * 100)


def test_a_flood_of_frames_nobody_knows(server):
    flood(server, frame(0x42, 0, 0, b"a") * 100)


# A stream counts as open until its reset has left, so that what comes in one read may be more streams than may
# be open: libnghttp2 ends that with PROTOCOL_ERROR (RFC 9113 §5.1.2) before our counter sees a reset.
RESETS = (ENHANCE_YOUR_CALM, PROTOCOL_ERROR)


def test_a_flood_of_names_without_length(server):
    """CVE-2019-9516."""
    streams(server, lambda c, s: frame(
        HEADERS, END_HEADERS | END_STREAM, s, c.block(extra=[("", "a"), ("", "b")])), codes=RESETS)


def malformed(c, stream):
    return frame(HEADERS, END_HEADERS | END_STREAM, stream, c.block(fields=[(":method", "GET")]))


def test_a_flood_of_malformed_requests(server):
    streams(server, malformed, codes=RESETS)


def test_malformed_requests_within_the_limit_of_streams_are_counted(server):
    """More than are reset with patience, and fewer than may be open: the counter ends them, not libnghttp2."""
    with Connection(server) as c:
        c.send(b"".join(malformed(c, 2 * index + 1) for index in range(50)))
        c.closed()
        assert c.goaway == ENHANCE_YOUR_CALM, c


def test_made_you_reset_by_windows_that_overflow(server):
    """CVE-2025-8671."""
    big = b"\x7f\xff\xff\xff"
    streams(server, lambda c, s: wait_for_ever(c, s) + frame(WINDOW_UPDATE, 0, s, big) * 2,
            codes=RESETS)


def test_made_you_reset_by_a_window_of_zero(server):
    streams(server, lambda c, s: wait_for_ever(c, s) + frame(WINDOW_UPDATE, 0, s, b"\0\0\0\0"),
            codes=RESETS)


def test_a_CONTINUATION_flood(server):
    """CVE-2024-27316."""
    def before(c):
        c.headers(1, flags=0)
    flood(server, frame(CONTINUATION, 0, 1, b"\x00\x03x-a\x01b") * 10, before=before)


def test_a_flood_of_empty_CONTINUATION(server):
    def before(c):
        c.headers(1, flags=0)
    flood(server, frame(CONTINUATION, 0, 1) * 10, before=before)


def test_SETTINGS_with_two_thousand_entries(server):
    flood(server, frame(SETTINGS, 0, 0, setting(0xFF, 1) * 2000))


def test_an_HPACK_bomb(server):
    """Thousands of references to one large entry: refused at the limit of a head, and not for ever."""
    entry = b"\x40\x03x-a\x7f\x81\x1e" + b"b" * 4000
    streams(server, lambda c, s: frame(
        HEADERS, END_HEADERS | END_STREAM, s, c.block() + entry + b"\xbe" * 3000), seconds=5)


def test_three_thousand_open_streams(server):
    streams(server, wait_for_ever, codes=(PROTOCOL_ERROR,))


def test_answers_into_a_window_of_zero_are_bounded(server):
    """A hundred answers of 2 MB each that the client asks for and does not take."""
    with Connection(server, settings=setting(WINDOW, 0)) as c:
        with Judge(server) as judge:
            judge.before += 8 << 20
            for index in range(100):
                c.headers(2 * index + 1, path="/v1/topics/full/records?from=earliest&maxBytes=4000000")
            c.until(lambda: c.statuses)
            time.sleep(0.5)
            assert len(c.statuses) < 5, "no more are begun than fit into the buffer"


def test_who_is_told_to_go_has_time_to_read_why(server):
    """The connection lingers: what the client still sends is no reason for a reset, which could take the GOAWAY away."""
    with Connection(server) as c:
        c.socket.sendall(frame(PING, 0, 0, b"12345678") * 300)
        time.sleep(0.5)
        for _ in range(3):
            c.socket.sendall(frame(PING, 0, 0, b"12345678"))
            time.sleep(0.2)
        c.closed()
        assert c.goaway == ENHANCE_YOUR_CALM


def test_answers_that_wait_for_the_disk_together_are_bounded(server):
    """A hundred pages of four megabytes, all begun before the first is read."""
    server.create("cold")
    for _ in range(40):
        server.append("cold", ["x" * 10_000] * 10)
    for path in server.data.glob("topics/*/*/*.log"):
        with open(path) as log:
            os.fsync(log.fileno())
            os.posix_fadvise(log.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    with Connection(server, settings=setting(WINDOW, 0)) as c:
        with Judge(server) as judge:
            judge.before += 16 << 20
            c.socket.sendall(b"".join(
                frame(HEADERS, END_HEADERS | END_STREAM, 2 * index + 1,
                      c.block(path="/v1/topics/cold/records?from=earliest&maxBytes=4000000"))
                for index in range(100)))
            c.until(lambda: c.statuses)
            time.sleep(1)
            assert set(c.statuses.values()) == {200}, c.statuses


def test_long_polls_that_wake_together_are_bounded(server):
    """A hundred that wait, all for the same four megabytes, and a client that takes none."""
    server.create("burst")
    with Connection(server, settings=setting(WINDOW, 0)) as c:
        for index in range(100):
            c.headers(2 * index + 1, path="/v1/topics/burst/records?from=latest&waitMs=60000"
                      "&maxBytes=16000000")
        c.alive()
        with Judge(server) as judge:
            judge.before += 40 << 20
            server.append("burst", [{"value": "x" * 10_000} for _ in range(400)])
            c.until(lambda: len(c.statuses) == 100)
            assert set(c.statuses.values()) == {200}, c.statuses
            time.sleep(0.5)


def test_streams_that_wake_together_are_bounded(server):
    """The same of a hundred streams without end, on each of four connections."""
    server.create("streams")
    connections = [Connection(server, settings=setting(WINDOW, 100)) for _ in range(4)]
    for c in connections:
        for index in range(100):
            c.headers(2 * index + 1, path="/v1/topics/streams/records?from=latest",
                      extra=[("accept", "text/event-stream")])
        c.until(lambda: len(c.statuses) == 100)
        assert set(c.statuses.values()) == {200}
    with Judge(server) as judge:
        judge.before += 40 << 20
        server.append("streams", [{"value": "x" * 10_000} for _ in range(400)])
        time.sleep(2)
    for c in connections:
        c.socket.close()


def test_a_dribble_of_windows_of_one_byte(server):
    """CVE-2019-9511."""
    def before(c):
        c.headers(1, path="/v1/topics/full/records?from=earliest&maxBytes=1000000")
        c.until(lambda: 1 in c.statuses)
    flood(server, frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\x01") * 10, before=before,
          settings=setting(WINDOW, 0))


def test_a_client_that_sends_and_never_reads_is_not_answered_without_end(server):
    """It is not read either; or, where more streams than may be open came in one read, its connection ends and
    what it goes on to send is thrown away for two seconds."""
    with Judge(server), Connection(server, receive_buffer=4096) as c:
        c.socket.settimeout(1)
        c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        block = c.block(path="/openapi.yaml")
        # More than the kernel takes of what is not read, and longer than the end of a connection lingers.
        deadline = time.monotonic() + 20
        with pytest.raises(OSError):
            while time.monotonic() < deadline:
                c.socket.sendall(numbered(
                    c, lambda s: frame(HEADERS, END_HEADERS | END_STREAM, s, block)))


def test_a_head_that_never_ends_is_cut_at_its_deadline(server):
    with Connection(server, timeout=15) as c:
        started = time.monotonic()
        c.headers(1, flags=0)
        c.closed()
        assert 8 < time.monotonic() - started < 13 and c.goaway == ENHANCE_YOUR_CALM


def test_an_upload_that_stands_still_is_answered_408(server):
    with Connection(server, timeout=15) as c:
        open_upload(c)
        c.data(1, b'{"value":')
        c.answer(1, 408)
        c.alive()
