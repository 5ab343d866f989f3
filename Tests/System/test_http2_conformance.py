"""RFC 9113, frame by frame, after the sections of h2spec: each case is a sentence."""

import pytest

from http2 import *

CASES = []


def http2(sentence, section, **options):
    """Files a function as a case; `options` are those of the connection."""
    def file(body):
        CASES.append(pytest.param(body, options, id=f"{section} {sentence}"))
        return body
    return file


POST = {"method": "POST", "path": "/v1/topics/none/records", "end": False}

# 3. Starting


@http2("the first frame of the server is SETTINGS", "3.4", hello=False)
def _(c):
    c.send(PREFACE + frame(SETTINGS, 0, 0))
    assert c.read()[0] == SETTINGS


@http2("a preface that comes byte by byte is one", "3.4", hello=False)
def _(c):
    for byte in PREFACE + frame(SETTINGS, 0, 0):
        c.send(bytes([byte]))
    c.until(lambda: c.settings_acks)
    c.headers(1)
    c.answer(1)


@http2("another frame than SETTINGS behind the preface is refused", "3.4", hello=False)
def _(c):
    c.send(PREFACE + frame(PING, 0, 0, b"12345678"))
    c.connection_error(PROTOCOL_ERROR)


@http2("a preface that is broken at its end is refused", "3.4", hello=False)
def _(c):
    c.send(b"PRI * HTTP/2.0\r\n\r\nSN\r\n\r\n")
    c.closed()


@http2("bytes that are no protocol are refused", "3.4", hello=False)
def _(c):
    c.send(b"INVALID CONNECTION PREFACE\r\n\r\n")
    c.closed()


@http2("a request right behind the preface is answered", "3.4", hello=False)
def _(c):
    c.send(PREFACE + frame(SETTINGS, 0, 0) + frame(
        HEADERS, END_HEADERS | END_STREAM, 1, c.block()))
    c.answer(1)


# 4. Frames


@http2("a frame of a type nobody knows is passed over", "4.1")
def _(c):
    c.frame(0x16, 0, 0, b"\0" * 8)
    c.alive()


@http2("flags that nobody knows are passed over", "4.1")
def _(c):
    c.frame(PING, 0x16, 0, b"12345678")
    c.until(lambda: c.pings)


@http2("the reserved bit of a stream is passed over", "4.1")
def _(c):
    c.send(frame(PING, 0, 0x8000_0000, b"12345678"))
    c.until(lambda: c.pings)


@http2("DATA of 2^14 bytes is taken", "4.2")
def _(c):
    c.headers(1, **POST)
    c.data(1, b"a" * 16384, end=True)
    c.answer(1, 404)


@http2("DATA beyond SETTINGS_MAX_FRAME_SIZE is refused", "4.2")
def _(c):
    c.headers(1, **POST)
    c.data(1, b"a" * 16385, end=True)
    c.connection_error(FRAME_SIZE_ERROR)


@http2("HEADERS beyond SETTINGS_MAX_FRAME_SIZE end the connection", "4.2")
def _(c):
    block = c.block() + c.block([("x-a", "b" * 17000)])
    c.frame(HEADERS, END_HEADERS | END_STREAM, 1, block)
    c.connection_error(FRAME_SIZE_ERROR)


@http2("a block that HPACK cannot read ends the connection", "4.3")
def _(c):
    # Literal with incremental indexing, a Huffman string without its end.
    c.frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x40\x81\xff")
    c.connection_error(COMPRESSION_ERROR)


@http2("PRIORITY within a header block is refused", "4.3")
def _(c):
    c.headers(1, flags=0)
    c.frame(PRIORITY, 0, 1, b"\0\0\0\0\xff")
    c.connection_error(PROTOCOL_ERROR)


@http2("HEADERS of another stream within a header block are refused", "4.3")
def _(c):
    c.headers(1, flags=0)
    c.headers(3)
    c.connection_error(PROTOCOL_ERROR)


# 5.1 Stream states


@http2("DATA on an idle stream is refused", "5.1")
def _(c):
    c.data(1, b"test", end=True)
    c.connection_error(PROTOCOL_ERROR)


@http2("RST_STREAM on an idle stream is refused", "5.1")
def _(c):
    c.frame(RST_STREAM, 0, 1, b"\0\0\0\x08")
    c.connection_error(PROTOCOL_ERROR)


@http2("WINDOW_UPDATE on an idle stream is refused", "5.1")
def _(c):
    c.frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\x64")
    c.connection_error(PROTOCOL_ERROR)


@http2("CONTINUATION on an idle stream is refused", "5.1")
def _(c):
    c.frame(CONTINUATION, END_HEADERS, 1, c.block())
    c.connection_error(PROTOCOL_ERROR)


@http2("PRIORITY on an idle stream is taken", "5.1")
def _(c):
    c.frame(PRIORITY, 0, 3, b"\0\0\0\0\x10")
    c.headers(3)
    c.answer(3)


def waiting(c, stream=1):
    """A stream that the client has ended and the server has not answered."""
    c.headers(stream, path="/v1/topics/waiting/records?waitMs=10000")
    c.alive(b"%08d" % stream)


@http2("DATA on a half-closed stream is refused", "5.1")
def _(c):
    waiting(c)
    c.data(1, b"test", end=True)
    c.stream_or_connection(1, STREAM_CLOSED)


@http2("HEADERS on a half-closed stream are refused", "5.1")
def _(c):
    waiting(c)
    c.headers(1)
    c.stream_or_connection(1, STREAM_CLOSED)


@http2("CONTINUATION on a half-closed stream is refused", "5.1")
def _(c):
    waiting(c)
    c.frame(CONTINUATION, END_HEADERS, 1, c.block())
    c.stream_or_connection(1, STREAM_CLOSED, PROTOCOL_ERROR)


@http2("PRIORITY on a half-closed stream is taken", "5.1")
def _(c):
    waiting(c)
    c.frame(PRIORITY, 0, 1, b"\0\0\0\0\x10")
    c.alive()


@http2("WINDOW_UPDATE on a half-closed stream is taken", "5.1")
def _(c):
    waiting(c)
    c.frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\x01")
    c.alive()


@http2("RST_STREAM on a half-closed stream ends it", "5.1")
def _(c):
    waiting(c)
    c.frame(RST_STREAM, 0, 1, b"\0\0\0\x08")
    c.alive()
    assert 1 not in c.statuses and 1 not in c.resets


def reset(c):
    waiting(c)
    c.frame(RST_STREAM, 0, 1, b"\0\0\0\x08")


@http2("DATA behind our own RST_STREAM is refused", "5.1")
def _(c):
    reset(c)
    c.data(1, b"test", end=True)
    c.stream_or_connection(1, STREAM_CLOSED)


@http2("HEADERS behind our own RST_STREAM are refused", "5.1")
def _(c):
    reset(c)
    c.headers(1)
    c.stream_or_connection(1, STREAM_CLOSED)


@http2("CONTINUATION behind our own RST_STREAM is refused", "5.1")
def _(c):
    reset(c)
    c.frame(CONTINUATION, END_HEADERS, 1, c.block())
    c.stream_or_connection(1, STREAM_CLOSED, PROTOCOL_ERROR)


def closed(c):
    c.headers(1)
    c.answer(1)


@http2("DATA on a closed stream is refused", "5.1")
def _(c):
    closed(c)
    c.data(1, b"test", end=True)
    c.stream_or_connection(1, STREAM_CLOSED)


@http2("HEADERS on a closed stream are refused", "5.1")
def _(c):
    closed(c)
    c.headers(1)
    c.connection_error(STREAM_CLOSED)


@http2("CONTINUATION on a closed stream is refused", "5.1")
def _(c):
    closed(c)
    c.frame(CONTINUATION, END_HEADERS, 1, c.block())
    c.connection_error(STREAM_CLOSED, PROTOCOL_ERROR)


@http2("PRIORITY on a closed stream is taken", "5.1")
def _(c):
    closed(c)
    c.frame(PRIORITY, 0, 1, b"\0\0\0\0\x10")
    c.alive()


@http2("WINDOW_UPDATE on a closed stream is taken", "5.1")
def _(c):
    closed(c)
    c.frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\x01")
    c.alive()


@http2("RST_STREAM on a closed stream is taken", "5.1")
def _(c):
    closed(c)
    c.frame(RST_STREAM, 0, 1, b"\0\0\0\x08")
    c.alive()


@http2("a stream with an even number is refused", "5.1.1")
def _(c):
    c.headers(2)
    c.connection_error(PROTOCOL_ERROR)


@http2("a new stream below the last one is refused", "5.1.1")
def _(c):
    c.headers(5)
    c.answer(5)
    c.headers(3)
    c.connection_error(PROTOCOL_ERROR)


@http2("a new stream below the last one is refused while that is open", "5.1.1")
def _(c):
    waiting(c, 5)
    c.headers(3)
    c.connection_error(PROTOCOL_ERROR)


@http2("a stream passed over is refused though PRIORITY named it", "5.1.1")
def _(c):
    c.frame(PRIORITY, 0, 3, b"\0\0\0\0\x10")
    c.headers(5)
    c.answer(5)
    c.headers(3)
    c.connection_error(PROTOCOL_ERROR)


@http2("numbers may be left out", "5.1.1")
def _(c):
    for stream in (1, 7, 101, 2**31 - 1):
        c.headers(stream)
        c.answer(stream)


@http2("more streams than SETTINGS_MAX_CONCURRENT_STREAMS are refused", "5.1.2")
def _(c):
    for index in range(101):
        c.headers(2 * index + 1, path="/v1/topics/waiting/records?waitMs=10000")
    c.stream_or_connection(201, REFUSED_STREAM, PROTOCOL_ERROR)


@http2("a hundred streams wait at a time", "5.1.2")
def _(c):
    for index in range(100):
        c.headers(2 * index + 1, path="/v1/topics/waiting/records?waitMs=600")
    c.until(lambda: len(c.ended) == 100)
    assert set(c.statuses.values()) == {200}


@http2("a stream may not depend on itself by HEADERS", "5.3.1")
def _(c):
    c.frame(HEADERS, END_STREAM | END_HEADERS | PRIORITIZED, 1, b"\0\0\0\x01\xff" + c.block())
    c.stream_or_connection(1, PROTOCOL_ERROR)


@http2("a stream may not depend on itself by PRIORITY", "5.3.1")
def _(c):
    c.frame(PRIORITY, 0, 2, b"\0\0\0\x02\xff")
    c.connection_error(PROTOCOL_ERROR)


@http2("the connection ends behind the GOAWAY of an error", "5.4.1")
def _(c):
    c.frame(PING, 0, 1, b"12345678")
    c.connection_error(PROTOCOL_ERROR)


@http2("an extension within a header block is refused", "5.5")
def _(c):
    c.headers(1, flags=0)
    c.frame(0x16, 0, 1, b"12345678")
    c.connection_error(PROTOCOL_ERROR)


# 6.1 DATA


@http2("DATA on stream 0 is refused", "6.1")
def _(c):
    c.data(0, b"test")
    c.connection_error(PROTOCOL_ERROR)


@http2("DATA on a stream that is not open is refused", "6.1")
def _(c):
    closed(c)
    c.data(1, b"test", end=True)
    c.stream_or_connection(1, STREAM_CLOSED)


@http2("padding longer than the frame is refused", "6.1")
def _(c):
    c.headers(1, **POST)
    c.data(1, b"\x09test\0\0\0", end=True, flags=PADDED)
    c.connection_error(PROTOCOL_ERROR)


@http2("padding without room for its length is refused", "6.1")
def _(c):
    c.headers(1, **POST)
    c.data(1, b"", end=True, flags=PADDED)
    c.connection_error(FRAME_SIZE_ERROR, PROTOCOL_ERROR)


@http2("padding is taken off", "6.1")
def _(c):
    c.headers(1, method="PUT", path="/v1/topics/padded", end=False)
    c.data(1, b'\x06{"partitions":1}' + b"\0" * 6, end=True, flags=PADDED)
    c.answer(1, 201)


@http2("DATA in many frames is one body", "6.1")
def _(c):
    c.headers(1, method="PUT", path="/v1/topics/pieces", end=False)
    for byte in b'{"partitions":1}':
        c.data(1, bytes([byte]))
    c.data(1, b"", end=True)
    c.answer(1, 201)


# 6.2 HEADERS


@http2("HEADERS in pieces by CONTINUATION are one head", "6.2")
def _(c):
    block = c.block()
    c.frame(HEADERS, END_STREAM, 1, block[:5])
    c.frame(CONTINUATION, 0, 1, block[5:9])
    c.frame(CONTINUATION, END_HEADERS, 1, block[9:])
    c.answer(1)


@http2("DATA behind HEADERS without END_HEADERS is refused", "6.2")
def _(c):
    c.headers(1, flags=0, **POST)
    c.data(1, b"test")
    c.connection_error(PROTOCOL_ERROR)


@http2("HEADERS on stream 0 are refused", "6.2")
def _(c):
    c.headers(0)
    c.connection_error(PROTOCOL_ERROR)


@http2("padding longer than the header block is refused", "6.2")
def _(c):
    block = c.block()
    c.frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, bytes([len(block) + 1]) + block)
    c.connection_error(PROTOCOL_ERROR)


@http2("a head with padding is read", "6.2")
def _(c):
    c.frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, b"\x04" + c.block() + b"\0" * 4)
    c.answer(1)


@http2("a head with a priority is read", "6.2")
def _(c):
    c.frame(HEADERS, END_HEADERS | END_STREAM | PRIORITIZED, 1, b"\0\0\0\0\x0f" + c.block())
    c.answer(1)


@http2("a head with a priority, and too short for one, is refused", "6.2")
def _(c):
    c.frame(HEADERS, END_HEADERS | END_STREAM | PRIORITIZED, 1, b"\0\0\0")
    c.connection_error(FRAME_SIZE_ERROR, PROTOCOL_ERROR)


# 6.3 PRIORITY, 6.4 RST_STREAM


@http2("PRIORITY on stream 0 is refused", "6.3")
def _(c):
    c.frame(PRIORITY, 0, 0, b"\0\0\0\0\xff")
    c.connection_error(PROTOCOL_ERROR)


@http2("PRIORITY of another length than 5 resets its stream", "6.3")
def _(c):
    waiting(c)
    c.frame(PRIORITY, 0, 1, b"\x80\0\0\x01")
    c.stream_or_connection(1, FRAME_SIZE_ERROR)


@http2("PRIORITY may be exclusive", "6.3")
def _(c):
    c.headers(1)
    c.frame(PRIORITY, 0, 3, b"\x80\0\0\x01\xff")
    c.answer(1)


@http2("RST_STREAM on stream 0 is refused", "6.4")
def _(c):
    c.frame(RST_STREAM, 0, 0, b"\0\0\0\x08")
    c.connection_error(PROTOCOL_ERROR)


@http2("RST_STREAM of another length than 4 is refused", "6.4")
def _(c):
    waiting(c)
    c.frame(RST_STREAM, 0, 1, b"\0\0\0")
    c.connection_error(FRAME_SIZE_ERROR)


@http2("RST_STREAM with a code nobody knows is taken", "6.4")
def _(c):
    waiting(c)
    c.frame(RST_STREAM, 0, 1, b"\xff\xff\xff\xff")
    c.alive()


# 6.5 SETTINGS


@http2("SETTINGS are acknowledged", "6.5.3")
def _(c):
    c.frame(SETTINGS, 0, 0, setting(MAX_STREAMS, 100))
    c.until(lambda: c.settings_acks == 2)


@http2("SETTINGS with ACK and a payload are refused", "6.5")
def _(c):
    c.frame(SETTINGS, ACK, 0, b"\0")
    c.connection_error(FRAME_SIZE_ERROR)


@http2("SETTINGS on a stream are refused", "6.5")
def _(c):
    c.frame(SETTINGS, 0, 1, setting(MAX_STREAMS, 100))
    c.connection_error(PROTOCOL_ERROR)


@http2("SETTINGS of a length that 6 does not divide are refused", "6.5")
def _(c):
    c.frame(SETTINGS, 0, 0, b"\0\x03\0")
    c.connection_error(FRAME_SIZE_ERROR)


for value, verdict in ((2, PROTOCOL_ERROR), (0xFFFFFFFF, PROTOCOL_ERROR)):
    @http2(f"SETTINGS_ENABLE_PUSH of {value} is refused", "6.5.2")
    def _(c, value=value, verdict=verdict):
        c.frame(SETTINGS, 0, 0, setting(ENABLE_PUSH, value))
        c.connection_error(verdict)


@http2("SETTINGS_INITIAL_WINDOW_SIZE beyond 2^31-1 is refused", "6.5.2")
def _(c):
    c.frame(SETTINGS, 0, 0, setting(WINDOW, 2**31))
    c.connection_error(FLOW_CONTROL_ERROR)


for value in (16383, 2**24):
    @http2(f"SETTINGS_MAX_FRAME_SIZE of {value} is refused", "6.5.2")
    def _(c, value=value):
        c.frame(SETTINGS, 0, 0, setting(FRAME_SIZE, value))
        c.connection_error(PROTOCOL_ERROR)


@http2("a setting nobody knows is passed over", "6.5.2")
def _(c):
    c.frame(SETTINGS, 0, 0, setting(0xFF, 1))
    c.alive()


@http2("of a setting that comes twice the last counts", "6.5.3")
def _(c):
    c.frame(SETTINGS, 0, 0, setting(WINDOW, 100) + setting(WINDOW, 1))
    c.headers(1)
    c.until(lambda: c.bodies.get(1) == b"o")
    c.frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\x64")
    assert c.answer(1) == b"ok\n"


# 6.6 to 6.8


@http2("PUSH_PROMISE of a client is refused", "6.6")
def _(c):
    c.frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\x02" + c.block())
    c.connection_error(PROTOCOL_ERROR)


@http2("PING is answered with its own bytes", "6.7")
def _(c):
    c.alive(b"\0\x01\x02\x03\xff\xfe\xfd\xfc")


@http2("PING with ACK is not answered", "6.7")
def _(c):
    c.frame(PING, ACK, 0, b"invalid1")
    c.alive()
    assert b"invalid1" not in c.pings


@http2("PING on a stream is refused", "6.7")
def _(c):
    c.frame(PING, 0, 1, b"12345678")
    c.connection_error(PROTOCOL_ERROR)


for length in (0, 6, 9):
    @http2(f"PING of {length} bytes is refused", "6.7")
    def _(c, length=length):
        c.frame(PING, 0, 0, b"\0" * length)
        c.connection_error(FRAME_SIZE_ERROR)


@http2("GOAWAY on a stream is refused", "6.8")
def _(c):
    c.frame(GOAWAY, 0, 1, b"\0\0\0\0\0\0\0\0")
    c.connection_error(PROTOCOL_ERROR)


@http2("GOAWAY that is too short is refused", "6.8")
def _(c):
    c.frame(GOAWAY, 0, 0, b"\0\0\0\0")
    c.connection_error(FRAME_SIZE_ERROR, PROTOCOL_ERROR)


@http2("a client that says GOAWAY still gets its answer", "6.8")
def _(c):
    c.headers(1)
    c.frame(GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\0")
    c.answer(1)


# 6.9 WINDOW_UPDATE


@http2("WINDOW_UPDATE of 0 is refused", "6.9")
def _(c):
    c.frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\0")
    c.connection_error(PROTOCOL_ERROR)


@http2("WINDOW_UPDATE of 0 on a stream is refused", "6.9")
def _(c):
    waiting(c)
    c.frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\0")
    c.stream_or_connection(1, PROTOCOL_ERROR)


@http2("WINDOW_UPDATE of another length than 4 is refused", "6.9")
def _(c):
    c.frame(WINDOW_UPDATE, 0, 0, b"\0\0\x01")
    c.connection_error(FRAME_SIZE_ERROR)


@http2("DATA is sent as far as the window allows", "6.9.1", settings=setting(WINDOW, 1))
def _(c):
    c.headers(1)
    c.until(lambda: c.bodies.get(1) == b"o")
    c.alive()
    assert c.bodies[1] == b"o"
    c.frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\x01")
    c.until(lambda: c.bodies[1] == b"ok")
    c.frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\x01")
    c.answer(1)


@http2("a window of a connection beyond 2^31-1 is refused", "6.9.1")
def _(c):
    c.frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff")
    c.frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff")
    c.connection_error(FLOW_CONTROL_ERROR)


@http2("a window of a stream beyond 2^31-1 resets it", "6.9.1")
def _(c):
    waiting(c)
    c.frame(WINDOW_UPDATE, 0, 1, b"\x7f\xff\xff\xff")
    c.frame(WINDOW_UPDATE, 0, 1, b"\x7f\xff\xff\xff")
    c.stream_error(1, FLOW_CONTROL_ERROR)


@http2("a change of the first window holds for open streams", "6.9.2", settings=setting(WINDOW, 0))
def _(c):
    c.headers(1)
    c.until(lambda: 1 in c.statuses)
    c.frame(SETTINGS, 0, 0, setting(WINDOW, 1))
    c.until(lambda: c.bodies[1] == b"o")
    c.frame(SETTINGS, 0, 0, setting(WINDOW, 65535))
    c.answer(1)


@http2("a window may become negative", "6.9.2", settings=setting(WINDOW, 3))
def _(c):
    c.headers(1, path="/openapi.yaml")
    c.until(lambda: len(c.bodies.get(1, b"")) == 3)
    c.frame(SETTINGS, 0, 0, setting(WINDOW, 2))
    c.frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\x02")
    c.until(lambda: len(c.bodies[1]) == 4)


@http2("a first window that overflows an open stream's is refused", "6.9.2")
def _(c):
    waiting(c)
    c.frame(WINDOW_UPDATE, 0, 1, b"\0\0\xff\xff")
    c.frame(SETTINGS, 0, 0, setting(WINDOW, 2**31 - 1))
    c.stream_or_connection(1, FLOW_CONTROL_ERROR)


@http2("DATA beyond our window is refused", "6.9.1")
def _(c):
    c.headers(1, method="POST", path="/v1/topics/none/records", end=False,
              extra=[("expect", "100-continue")])
    for _ in range(80):
        c.data(1, b"a" * 16384)
    c.stream_or_connection(1, FLOW_CONTROL_ERROR, NO_ERROR)


# 6.10 CONTINUATION


@http2("CONTINUATION behind the end of a block is refused", "6.10")
def _(c):
    c.headers(1, **POST)
    c.frame(CONTINUATION, END_HEADERS, 1, c.block([("x-a", "b")]))
    c.connection_error(PROTOCOL_ERROR)


@http2("DATA between HEADERS and CONTINUATION is refused", "6.10")
def _(c):
    c.headers(1, flags=0, **POST)
    c.data(1, b"test")
    c.frame(CONTINUATION, END_HEADERS, 1, c.block([("x-a", "b")]))
    c.connection_error(PROTOCOL_ERROR)


@http2("CONTINUATION on stream 0 is refused", "6.10")
def _(c):
    c.headers(1, flags=0)
    c.frame(CONTINUATION, END_HEADERS, 0, c.block([("x-a", "b")]))
    c.connection_error(PROTOCOL_ERROR)


@http2("CONTINUATION of another stream is refused", "6.10")
def _(c):
    c.headers(1, flags=0)
    c.frame(CONTINUATION, END_HEADERS, 3, c.block([("x-a", "b")]))
    c.connection_error(PROTOCOL_ERROR)


@http2("CONTINUATION behind DATA is refused", "6.10")
def _(c):
    c.headers(1, **POST)
    c.data(1, b"test")
    c.frame(CONTINUATION, END_HEADERS, 1, c.block([("x-a", "b")]))
    c.connection_error(PROTOCOL_ERROR)


# 7. Error codes


@http2("GOAWAY with a code nobody knows is taken", "7")
def _(c):
    c.frame(GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\xff")
    c.closed_or_alive()


@http2("RST_STREAM with a code nobody knows ends only its stream", "7")
def _(c):
    waiting(c)
    c.frame(RST_STREAM, 0, 1, b"\0\0\0\xff")
    c.alive()


@pytest.mark.parametrize(("body", "options"), CASES)
def test_rfc_9113(server, body, options):
    if not getattr(server, "has_waiting", False):
        server.put("/v1/topics/waiting", json={"partitions": 1})
        server.has_waiting = True
    with Connection(server, **options) as connection:
        body(connection)
