"""RFC 9113 §8 (messages) and RFC 7541 (HPACK), after the sections of h2spec: each case is a sentence."""

import json
import re
import signal
from pathlib import Path

import pytest

from http2 import *
from millrace import until

REQUESTS, BLOCKS = [], []


def message(sentence, verdict, *extra, **options):
    """A request that must be reset (`PROTOCOL_ERROR`) or answered with a status."""
    REQUESTS.append(pytest.param(verdict, extra, options, id=sentence))


MALFORMED = {PROTOCOL_ERROR, 400}

# 8.2 Fields
message("a field in upper case is malformed", MALFORMED, ("X-Test", "a"))
message("a field with an empty name is malformed", MALFORMED, ("", "a"))
message("a name with a space is malformed", MALFORMED, ("x test", "a"))
message("a name with a colon is malformed", MALFORMED, ("x:test", "a"))
message("a name beyond ASCII is malformed", MALFORMED, ("x-té", "a"))
message("a name with a control byte is malformed", MALFORMED, ("x-\x01", "a"))
for byte, name in (("\0", "NUL"), ("\r", "CR"), ("\n", "LF"), ("\x0b", "a control byte")):
    message(f"a value with {name} is malformed", MALFORMED, ("x-test", f"a{byte}b"))
    message(f"a path with {name} is malformed", MALFORMED, path=f"/livez{byte}b")
message("a value that begins with a space is malformed", MALFORMED, ("x-test", " a"))
message("a value that ends with a tab is malformed", MALFORMED, ("x-test", "a\t"))
message("a value with a space within is fine", {200}, ("x-test", "a b"))
message("an empty value is fine", {200}, ("x-test", ""))
message("a value beyond ASCII is fine", {200}, ("x-test", "é"))
for field in ("connection", "keep-alive", "proxy-connection", "upgrade"):
    message(f"{field} is malformed", MALFORMED, (field, "keep-alive"))
message("transfer-encoding is malformed", MALFORMED, ("transfer-encoding", "chunked"))
message("te with anything but trailers is malformed", MALFORMED, ("te", "trailers, deflate"))
message("te: trailers is fine", {200}, ("te", "trailers"))
message("a field twice that may stand once is malformed", MALFORMED,
        ("authorization", "a"), ("authorization", "b"))
message("a framing in disguise is malformed", MALFORMED, ("content_length", "1"))

# 8.3 Pseudo-fields
GET = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/livez")]
for index, (name, _) in enumerate(GET):
    without = GET[:index] + GET[index + 1:]
    message(f"a request without {name} is malformed", MALFORMED, fields=without)
    message(f"{name} twice is malformed", MALFORMED, fields=GET + [GET[index]])
    message(f"{name} behind a field is malformed", MALFORMED,
            fields=without + [("x-a", "b"), GET[index]])
    message(f"an empty {name} is malformed", MALFORMED | {501},
            fields=without + [(name, "")])
message("a pseudo-field nobody knows is malformed", MALFORMED, fields=GET + [(":test", "ok")])
message("a pseudo-field of an answer is malformed", MALFORMED, fields=GET + [(":status", "200")])
message("an authority that is none is malformed", MALFORMED, fields=[*GET[:2], (":authority", "a b"), GET[3]])
message("a user in the authority is malformed", MALFORMED,
        fields=[*GET[:2], (":authority", "user@a"), GET[3]])
message("host may stand in for the authority", {200}, ("host", "a"), fields=[*GET[:2], GET[3], ("host", "a")])
message("host and authority that agree are fine", {200}, fields=GET + [("host", "A")])
message("host and authority that differ are malformed", MALFORMED, fields=GET + [("host", "b")])
message("a second host is malformed", MALFORMED, fields=GET + [("host", "a"), ("host", "a")])
message("another scheme than http is malformed", MALFORMED,
        fields=[GET[0], (":scheme", "ftp"), *GET[2:]])
message("https is a balancer's", {200}, fields=[GET[0], (":scheme", "https"), *GET[2:]])
message("a path that does not begin with / is malformed", MALFORMED, path="livez")
message("a path in absolute-form is malformed", MALFORMED, path="http://a/livez")
message("* is for OPTIONS only", MALFORMED, path="*")
message("a fragment is malformed", MALFORMED, path="/livez#a")
message("a path with bytes beyond ASCII is malformed", MALFORMED, path="/é")
message("an escape that is none is malformed", MALFORMED, path="/%zz")
message("a path of 8 KiB is too long", {414, 431}, path="/" + "a" * 8200)
message("a method nobody knows is 501", {501}, method="BREW")
message("TRACE is 405", {405}, method="TRACE")
message("CONNECT is 405", {405, PROTOCOL_ERROR}, fields=[(":method", "CONNECT"), (":authority", "a")])
message("CONNECT with a protocol is malformed", MALFORMED | {405},
        fields=[(":method", "CONNECT"), (":protocol", "websocket"), *GET[1:]])
message("an expectation nobody knows is 417", {417}, ("expect", "200-ok"))
message("a hundred fields are fine", {200}, *[(f"x-{n}", "a") for n in range(99)])
message("more than a hundred fields are 431", {431}, *[(f"x-{n}", "a") for n in range(102)])
message("more than 32 KiB of fields are 431", {431}, *[(f"x-{n}", "a" * 500) for n in range(70)])


@pytest.mark.parametrize(("verdict", "extra", "options"), REQUESTS)
def test_a_request(server, verdict, extra, options):
    with Connection(server) as c:
        fields = options.get("fields") or c.request_fields(
            options.get("method", "GET"), options.get("path", "/livez"), extra)
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]
        block = c.block(raw)
        pieces = [block[at:at + 16000] for at in range(0, len(block), 16000)]
        for index, piece in enumerate(pieces):
            kind = CONTINUATION if index else HEADERS
            flags = END_HEADERS if index == len(pieces) - 1 else 0
            c.frame(kind, flags | (0 if index else END_STREAM), 1, piece)
        c.until(lambda: 1 in c.ended or 1 in c.resets)
        found = c.resets[1] if 1 in c.resets else c.statuses[1]
        assert found in verdict
        if c.statuses.get(1, 200) >= 400:
            assert json.loads(c.bodies[1])["code"]
        c.headers(3)
        c.answer(3)


# 8.1 Bodies


def put(c, name, *extra, end=False):
    c.headers(1, method="PUT", path=f"/v1/topics/{name}", end=end, extra=extra)


BODY = b'{"partitions":1}'


@pytest.mark.parametrize("length", [len(BODY) - 1, len(BODY) + 1, 0, "x", "-1", "+16", "16, 16", ""])
def test_a_content_length_that_is_not_the_body_s_is_malformed(server, length):
    with Connection(server) as c:
        put(c, "mismatch", ("content-length", str(length)))
        c.data(1, BODY, end=True)
        c.until(lambda: 1 in c.resets or 1 in c.ended)
        assert c.resets.get(1) == PROTOCOL_ERROR or c.statuses[1] == 400
        assert server.get("/v1/topics/mismatch").status == 404


def test_a_content_length_that_is_the_sum_of_several_frames_is_fine(server):
    with Connection(server) as c:
        put(c, "sum", ("content-length", str(len(BODY))))
        c.data(1, BODY[:7])
        c.data(1, BODY[7:], end=True)
        c.answer(1, 201)


def test_a_content_length_without_a_body_is_malformed(server):
    with Connection(server) as c:
        put(c, "absent", ("content-length", "5"), end=True)
        c.stream_error(1, PROTOCOL_ERROR)


def test_trailers_are_dropped(server):
    with Connection(server) as c:
        put(c, "trailers")
        c.data(1, BODY)
        c.headers(1, fields=[("x-checksum", "a"), ("authorization", "b")])
        c.answer(1, 201)


def test_trailers_without_the_stream_s_end_are_malformed(server):
    with Connection(server) as c:
        put(c, "endless")
        c.data(1, BODY)
        c.headers(1, fields=[("x-checksum", "a")], end=False)
        c.stream_or_connection(1, PROTOCOL_ERROR)


def test_a_pseudo_field_in_trailers_is_malformed(server):
    with Connection(server) as c:
        put(c, "pseudo")
        c.data(1, BODY)
        c.headers(1, fields=[(":path", "/")])
        c.stream_or_connection(1, PROTOCOL_ERROR)


def test_HEAD_tells_the_length_and_sends_nothing(server):
    with Connection(server) as c:
        c.headers(1, method="HEAD", path="/livez")
        assert c.answer(1) == b""
        c.headers(3, path="/livez")
        assert len(c.answer(3)) == int(c.fields[1]["content-length"]) > 0


def test_100_continue_comes_when_the_body_is_wanted(server):
    with Connection(server) as c:
        put(c, "expected", ("expect", "100-continue"))
        c.until(lambda: c.statuses.get(1) == 100)
        c.data(1, BODY, end=True)
        c.answer(1, 201)


def test_100_continue_does_not_come_where_the_body_is_not_wanted(server):
    with Connection(server) as c:
        c.headers(1, method="POST", path="/v1/topics/none/records", end=False,
                  extra=[("expect", "100-continue")])
        c.answer(1, 404)
        c.stream_error(1, NO_ERROR)


def test_an_early_answer_stops_a_large_body_and_not_the_connection(server):
    """RFC 9113 §8.1: RST_STREAM with NO_ERROR behind a whole answer."""
    with Connection(server) as c:
        c.headers(1, method="POST", path="/v1/topics/none/records", end=False)
        c.answer(1, 404)
        for _ in range(5):
            c.data(1, b"a" * 16000)
        c.stream_error(1, NO_ERROR)
        c.headers(3)
        c.answer(3)


def test_fields_of_an_answer_are_in_lower_case_and_none_is_about_the_connection(server):
    with Connection(server) as c:
        c.headers(1)
        c.answer(1)
        assert {"date", "content-type", "content-length"} <= set(c.fields[1])
        assert all(name == name.lower() for name in c.fields[1])
        assert not {"connection", "keep-alive", "transfer-encoding"} & set(c.fields[1])


# RFC 7541


def block(sentence, good, *parts):
    """A header block: `parts` are put behind the pseudo-fields, or in front where `first`."""
    BLOCKS.append(pytest.param(good, parts, id=sentence))


def literal(first, name, value):
    return bytes([first, len(name)]) + name + bytes([len(value)]) + value


HUFFMAN_A = b"\x81\x1f"  # "a", padded with ones
block("a literal with indexing is read", True, literal(0x40, b"x-a", b"b"))
block("a literal without indexing is read", True, literal(0x00, b"x-a", b"b"))
block("a literal never indexed is read", True, literal(0x10, b"x-a", b"b"))
block("an entry of the dynamic table is read", True, literal(0x40, b"x-a", b"b"), b"\xbe")
block("a name of the dynamic table is read", True, literal(0x40, b"x-a", b"b"), b"\x0f\x2f\x01c")
block("a name of the static table is read", True, b"\x0f\x04\x01a")
block("Huffman code is read", True, b"\x00\x03x-a" + HUFFMAN_A)
block("Huffman code padded with zeros is refused", False, b"\x00\x03x-a\x81\x18")
block("Huffman code padded beyond 7 bits is refused", False, b"\x00\x03x-a\x82\x1f\xff")
block("Huffman code with EOS is refused", False, b"\x00\x03x-a\x84\xff\xff\xff\xff")
block("index 0 is refused", False, b"\x80")
block("an index beyond both tables is refused", False, b"\xfe")
block("a name beyond both tables is refused", False, b"\x7f\x7f\x01a")
block("an integer without end is refused", False, b"\xff" + b"\xff" * 12)
block("a string longer than the block is refused", False, b"\x00\x7fx")
block("a change of the table's size at the start is fine", True, "first", b"\x20")
block("two changes at the start are fine", True, "first", b"\x20\x3f\xe1\x1f")
block("a table larger than we allow is refused", False, "first", b"\x3f\xe2\x1f")
block("a change of the table's size behind a field is refused", False, b"\x20")
block("an entry larger than the table empties it", True,
      b"\x00\x03x-a\x01b" + literal(0x40, b"x-b", b"c" * 100))


@pytest.mark.parametrize(("good", "parts"), BLOCKS)
def test_a_header_block(server, good, parts):
    with Connection(server) as c:
        head = c.block()
        if parts[0] == "first":
            whole = parts[1] + head
        else:
            whole = head + b"".join(parts)
        c.frame(HEADERS, END_HEADERS | END_STREAM, 1, whole)
        if good:
            c.answer(1)
        else:
            c.connection_error(COMPRESSION_ERROR)


def test_the_table_lasts_over_streams_and_is_emptied_by_size_0(server):
    with Connection(server) as c:
        c.frame(HEADERS, END_HEADERS | END_STREAM, 1, c.block() + literal(0x40, b"x-a", b"b"))
        c.answer(1)
        c.frame(HEADERS, END_HEADERS | END_STREAM, 3, c.block() + b"\xbe")
        c.answer(3)
        c.frame(HEADERS, END_HEADERS | END_STREAM, 5, b"\x20" + c.block() + b"\xbe")
        c.connection_error(COMPRESSION_ERROR)


def test_a_client_that_wants_no_table_is_served_without_one(server):
    with Connection(server, settings=setting(TABLE_SIZE, 0)) as c:
        c.decoder.max_allowed_table_size = 0
        for stream in (1, 3):
            c.headers(stream)
            c.answer(stream)


# A request that ends with its body


def done_with(server):
    """Produces and creations of topics that have ended, whether or not anyone was told."""
    counted = rb'^millrace_http_requests_total\{route="(?:produce|createTopic)",.*\} (\d+)$'
    return sum(map(int, re.findall(counted, server.get("/metrics").body, re.M)))


def pause(server):
    server.process.send_signal(signal.SIGSTOP)
    state = Path(f"/proc/{server.process.pid}/stat")
    until(lambda: state.read_text().rpartition(")")[2].split()[0] == "T")


def cut_off(server, path, first, last, how="reset", method="POST", **fields):
    """The handler has `first` of a body; `last` comes together with the end of all that it asked for."""
    before = done_with(server)
    extra = [("expect", "100-continue"), *((name.replace("_", "-"), value) for name, value in fields.items())]
    with Connection(server) as c:
        c.headers(1, method=method, path=path, end=False, extra=extra)
        c.until(lambda: c.statuses.get(1) == 100)
        if first:
            c.data(1, first)
            c.alive()
        frames = [frame(DATA, 0, 1, piece) for piece in last[:-1]] + [frame(DATA, END_STREAM, 1, last[-1])]
        if how == "reset":
            c.send(b"".join(frames) + frame(RST_STREAM, 0, 1, CANCEL.to_bytes(4, "big")))
        else:
            try:
                pause(server)
                c.send(b"".join(frames))
                c.socket.close()
            finally:
                server.process.send_signal(signal.SIGCONT)
    until(lambda: done_with(server) > before)


@pytest.mark.parametrize("how", ["reset", "closed"])
@pytest.mark.parametrize("first, last", [
    (b"", [b"hello, world"]), (b"hello, ", [b"world"]), (b"", [b"hello, ", b"world"]),
], ids=["in one frame", "in two frames", "in two frames at once"])
def test_a_body_whose_request_ends_with_it_is_appended_whole_or_not_at_all(server, topic, how, first, last):
    """Never empty or cut: its last frame and the end of its stream or connection may come in one read."""
    for _ in range(3):
        cut_off(server, f"/v1/topics/{topic}/records", first, last, how, content_type="text/plain")
    values = [record["value"] for record in server.page(topic)["records"]]
    assert set(values) <= {"hello, world"}


def test_an_event_whose_request_was_reset_is_no_tombstone(server):
    server.create("states", cleanupPolicy="compact")
    event = {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "/s", "ce_type": "t", "ce_partitionkey": "alice"}
    cut_off(server, "/v1/topics/states/records", b"", [b"her state"], **event)
    values = [record["value"] for record in server.page("states")["records"]]
    assert values in ([], ["her state"])


def test_an_idempotency_key_does_not_stand_for_what_was_cut_off(server, topic):
    path = f"/v1/topics/{topic}/records"
    cut_off(server, path, b"pay 1", [b"00 EUR"], content_type="text/plain", idempotency_key="order")
    again = server.post(
        path, data=b"pay 100 EUR", headers={"Content-Type": "text/plain", "Idempotency-Key": "order"})
    assert again.status == 200, again
    assert [record["value"] for record in server.page(topic)["records"]] == ["pay 100 EUR"]


def test_a_topic_whose_request_was_reset_is_not_made_with_the_defaults(server):
    cut_off(server, "/v1/topics/six", b"", [b'{"partitions":6}'], method="PUT")
    found = server.get("/v1/topics/six")
    assert found.status == 404 or len(found.json["partitions"]) == 6
