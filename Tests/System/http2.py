"""An HTTP/2 client of raw frames: says what no client library would, and tells what came back."""

import socket
import time

from hpack import Decoder, Encoder
from hyperframe.frame import Frame

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9
END_STREAM = ACK = 0x1
END_HEADERS, PADDED, PRIORITIZED = 0x4, 0x8, 0x20

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 2, 3
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL = 5, 6, 7, 8
COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 9, 11

TABLE_SIZE, ENABLE_PUSH, MAX_STREAMS, WINDOW, FRAME_SIZE, LIST_SIZE = 1, 2, 3, 4, 5, 6


def frame(kind, flags, stream, payload=b""):
    """RFC 9113 §4.1."""
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
    return head + payload


def setting(name, value):
    return name.to_bytes(2, "big") + value.to_bytes(4, "big")


class Closed(Exception):
    """The server closed the connection."""


class Connection:
    """One connection; `open` has said hello already."""

    def __init__(self, server, hello=True, settings=b"", timeout=5, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect((server.host, server.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.authority = f"{server.host}:{server.port}"
        self.encoder, self.decoder = Encoder(), Decoder()
        self.buffer = b""
        self.statuses, self.bodies, self.fields = {}, {}, {}
        self.ended, self.resets = set(), {}
        self.goaway = None
        self.is_closed = False
        self.pings = []
        self.settings_acks = 0
        if hello:
            self.send(PREFACE + frame(SETTINGS, 0, 0, settings))
            self.until(lambda: self.settings_acks)
            self.send(frame(SETTINGS, ACK, 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    # Out

    def send(self, data):
        """Sends; that the server has closed by now is told by what is read next."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def frame(self, kind, flags=0, stream=0, payload=b""):
        self.send(frame(kind, flags, stream, payload))

    def request_fields(self, method="GET", path="/livez", extra=()):
        return [
            (":method", method), (":scheme", "http"), (":authority", self.authority),
            (":path", path), *extra,
        ]

    def block(self, fields=None, **options):
        """A header block; nothing is put into the table, so that its parts can be mixed."""
        fields = self.request_fields(**options) if fields is None else fields
        return self.encoder.encode([(*field, True) for field in fields], huffman=False)

    def headers(self, stream=1, fields=None, end=True, flags=END_HEADERS, **options):
        flags |= END_STREAM if end else 0
        self.frame(HEADERS, flags, stream, self.block(fields, **options))

    def data(self, stream=1, payload=b"", end=False, flags=0):
        self.frame(DATA, flags | (END_STREAM if end else 0), stream, payload)

    # In

    def read(self):
        """Takes the next frame in; its type, flags, stream and payload."""
        while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
            try:
                more = self.socket.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                self.is_closed = True
                raise Closed
            self.buffer += more
        length = int.from_bytes(self.buffer[:3], "big")
        head, payload = self.buffer[:9], self.buffer[9:9 + length]
        self.buffer = self.buffer[9 + length:]
        # A second opinion on what we are sent: hyperframe reads it too.
        parsed, size = Frame.parse_frame_header(memoryview(head), strict=True)
        assert size == length
        parsed.parse_body(memoryview(payload))
        kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
        self.take(kind, flags, stream, payload)
        return kind, flags, stream, payload

    def take(self, kind, flags, stream, payload):
        if kind == HEADERS:
            assert flags & END_HEADERS
            fields = [(n, v) for n, v in self.decoder.decode(payload)]
            status = next(int(v) for n, v in fields if n == ":status")
            if status >= 200:
                assert self.statuses.get(stream, 100) < 200, "one final answer a stream"
            self.statuses[stream] = status
            self.fields[stream] = dict(fields)
            self.bodies.setdefault(stream, b"")
        elif kind == DATA:
            self.bodies[stream] += payload
        elif kind == RST_STREAM:
            self.resets[stream] = int.from_bytes(payload, "big")
        elif kind == GOAWAY:
            self.goaway = int.from_bytes(payload[4:8], "big")
            self.last_stream = int.from_bytes(payload[:4], "big")
        elif kind == PING and flags & ACK:
            self.pings.append(payload)
        elif kind == SETTINGS and flags & ACK:
            self.settings_acks += 1
        if kind in (HEADERS, DATA) and flags & END_STREAM:
            self.ended.add(stream)

    def until(self, condition):
        """Reads until the condition holds; fails where the connection ends first."""
        while not condition():
            try:
                self.read()
            except Closed:
                raise AssertionError(f"closed; {self}") from None
            except TimeoutError:
                raise AssertionError(f"nothing more came; {self}") from None

    def __repr__(self):
        return f"statuses {self.statuses}, resets {self.resets}, goaway {self.goaway}"

    # Verdicts

    def answer(self, stream=1, status=200):
        """The stream is answered whole, with this status."""
        self.until(lambda: stream in self.ended or stream in self.resets)
        assert self.statuses.get(stream) == status, self
        return self.bodies[stream]

    def connection_error(self, *codes):
        """GOAWAY with one of the codes, and the connection ends."""
        started = time.monotonic()
        try:
            while True:
                self.read()
        except Closed:
            pass
        except TimeoutError:
            raise AssertionError(f"the connection lives; {self}") from None
        assert self.goaway in codes, self
        assert time.monotonic() - started < 5

    def closed(self):
        """The connection ends, with a word or without."""
        try:
            while True:
                self.read()
        except (Closed, ValueError):
            pass
        except TimeoutError:
            raise AssertionError(f"the connection lives; {self}") from None

    def stream_error(self, stream, *codes):
        """The stream is reset with one of the codes, and the connection goes on."""
        self.until(lambda: stream in self.resets or self.goaway is not None)
        assert self.resets.get(stream) in codes and self.goaway is None, self
        self.alive()

    def stream_or_connection(self, stream, *codes):
        """The stream or the whole connection ends with one of the codes."""
        try:
            while stream not in self.resets:
                self.read()
        except Closed:
            assert self.goaway in codes, self
        else:
            assert self.resets[stream] in codes, self

    def closed_or_alive(self):
        """Either will do, as long as it is one of them."""
        try:
            self.alive()
        except AssertionError:
            assert self.is_closed

    def alive(self, word=b"are you?"):
        """A PING comes back."""
        self.frame(PING, 0, 0, word)
        self.until(lambda: word in self.pings)
        assert self.goaway is None
