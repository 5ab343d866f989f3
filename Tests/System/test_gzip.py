"""Content codings (RELIABILITY.md d-1): requests in gzip, answers in gzip where that pays, and bombs."""

import gzip
import json
import re
import time
import zlib

import pytest
import requests

from http2 import *
from millrace import until
from test_stream import memory

JSON = {"Content-Type": "application/json"}
LINES = {"Content-Type": "application/x-ndjson"}
RAW = {"Content-Type": "application/octet-stream"}
PACKED = {"Content-Encoding": "gzip"}


def post(server, topic, body, kind=JSON, coding="gzip"):
    return server.post(f"/v1/topics/{topic}/records", data=body,
                       headers={**kind, "Content-Encoding": coding})


def records(*values):
    return json.dumps({"records": [{"value": value} for value in values]}).encode()


def count(server, topic):
    return len(server.page(topic, "?from=earliest&maxRecords=1000")["records"])


def test_a_body_in_gzip_is_opened_on_every_form(server, topic):
    assert post(server, topic, gzip.compress(records(1, 2))).status == 200
    assert post(server, topic, gzip.compress(b'{"value":3}\n{"value":4}\n'), LINES).status == 200
    assert post(server, topic, gzip.compress(b"five"), {"Content-Type": "text/plain"}).status == 200
    values = [r["value"] for r in server.page(topic, "?from=earliest")["records"]]
    assert values == [1, 2, 3, 4, "five"]
    topic = server.put("/v1/topics/packed", data=gzip.compress(b'{"partitions":3}'), headers={**JSON, **PACKED})
    assert topic.status == 201


@pytest.mark.parametrize("coding", ["br", "deflate", "gzip, gzip", "compress", "zstd", "gzip;q=1", "", "aws-chunked"])
def test_another_coding_is_415(server, topic, coding):
    answer = post(server, topic, gzip.compress(records(1)), coding=coding)
    assert (answer.status, answer.code) == (415, "unsupported-media-type")
    assert count(server, topic) == 0


@pytest.mark.parametrize("coding", ["GZIP", "x-gzip", "identity"])
def test_names_of_codings_are_read_without_case(server, topic, coding):
    body = records(1) if coding == "identity" else gzip.compress(records(1))
    assert post(server, topic, body, coding=coding).status == 200


def test_members_behind_each_other_are_one_body(server, topic):
    body = records(1, 2)
    packed = b"".join(gzip.compress(body[at:at + 5]) for at in range(0, len(body), 5))
    assert post(server, topic, packed).status == 200
    assert count(server, topic) == 2


@pytest.mark.parametrize("kind", [JSON, LINES, RAW])
@pytest.mark.parametrize("harm", ["cut", "trailing", "plain", "checksum", "twice", "empty"])
def test_damaged_gzip_is_400_and_nothing_is_appended_but_whole_lines(server, topic, kind, harm):
    whole = gzip.compress(records(1) if kind is not LINES else b'{"value":1}\n')
    body = {
        "cut": whole[:-4], "trailing": whole + b"x", "plain": records(1),
        "checksum": whole[:-8] + b"\0\0\0\0" + whole[-4:], "twice": gzip.compress(whole), "empty": b"",
    }[harm]
    answer = post(server, topic, body, kind)
    if harm == "twice" and kind is RAW:
        assert answer.status == 200, "the content is gzip, and is a value as it stands"
        return
    assert answer.status == 400
    if harm != "twice":
        assert answer.code == "invalid-content-coding"
    assert count(server, topic) <= (1 if kind is LINES else 0)


def bomb(megabytes):
    """So much of zeros, in a thousandth of it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = b"0" * (1 << 20)
    return b"".join(packer.compress(block) for _ in range(megabytes)) + packer.flush()


BOMBS = {
    "10 MiB that open to 10 GiB": lambda: bomb(64) * 160,
    "a thousand members of 42 KiB": lambda: bomb(42) * 1000,
    "a small one": lambda: bomb(100),
}


@pytest.mark.parametrize("kind", [JSON, LINES, RAW])
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_at_once(server, topic, name, kind):
    """C7: refused after the limit and little more, in a moment and in little memory."""
    body = BOMBS[name]()
    before, started = memory(server), time.monotonic()
    with Connection(server, hello=False) as c:
        c.send(b"POST /v1/topics/%s/records HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\n"
               b"Content-Type: %s\r\nContent-Length: %d\r\n\r\n"
               % (topic.encode(), kind["Content-Type"].encode(), len(body)))
        c.send(body[:1 << 20])
        head = c.socket.recv(4096)
    took = time.monotonic() - started
    assert head.startswith(b"HTTP/1.1 413 "), head
    assert took < 2
    assert memory(server) - before < 40 << 20, "16 MiB is what a body may have"
    assert count(server, topic) == 0


def test_a_bomb_over_HTTP_2_is_refused(server, topic):
    with Connection(server) as c:
        c.headers(1, method="POST", path=f"/v1/topics/{topic}/records", end=False,
                  extra=[("content-type", "application/json"), ("content-encoding", "gzip")])
        body = bomb(100)
        for at in range(0, len(body), 16384):
            c.data(1, body[at:at + 16384], end=at + 16384 >= len(body))
        c.answer(1, 413)
        c.alive()


def test_lines_in_gzip_are_appended_as_they_come(server, topic):
    with Connection(server) as c:
        c.headers(1, method="POST", path=f"/v1/topics/{topic}/records", end=False,
                  extra=[("content-type", "application/x-ndjson"), ("content-encoding", "gzip"),
                         ("accept", "application/x-ndjson")])
        packer = zlib.compressobj(wbits=31)
        for number in range(20):
            line = packer.compress(b'{"value":%d}\n' % number) + packer.flush(zlib.Z_SYNC_FLUSH)
            c.data(1, line)
            c.until(lambda: b'"offset":%d}' % number in c.bodies.get(1, b""))
        c.data(1, packer.flush(), end=True)
        c.answer(1)


# Answers


@pytest.fixture
def full(server, topic):
    server.append(topic, ["some text that repeats " * 10] * 50)
    return f"/v1/topics/{topic}/records?from=earliest"


def raw(server, path, method="GET", **headers):
    """An answer as it stands on the wire: fields and body."""
    response = requests.request(method, server.base + path, stream=True, timeout=20,
                                headers={"Accept-Encoding": None, **headers})
    return response, response.raw.read(decode_content=False)


@pytest.mark.parametrize(("accept", "is_packed"), [
    ("gzip", True), ("GZip", True), ("x-gzip", True), ("deflate, gzip;q=1.0, *;q=0.5", True), ("*", True),
    ("gzip;q=0.001", True), ("br, gzip", True), ("identity;q=0.5, gzip;q=0.5", True), ("*;q=0.1", True),
    ("identity;q=0, *", True), ("br;q=1.0, gzip; q=0.8, *;q=0.1", True),
    ("gzip;q=0", False), ("gzip;q=0.0", False), ("identity", False), ("br", False), ("", False),
    ("*;q=0", False), ("gzip;q=0, *", False), ("identity, gzip;q=0.5", False), ("gzip;q=x", False),
    ("gzip;q=0.5, *", False), ("gzip;q=1.5", False), ("gzip;q=-1", False), ("gzip;level=9", False), ("gzippo", False), (None, False),
])
def test_an_answer_comes_in_the_coding_that_is_preferred(server, full, accept, is_packed):
    plain, text = raw(server, full)
    answer, body = raw(server, full, **{"Accept-Encoding": accept})
    assert answer.headers.get("content-encoding") == ("gzip" if is_packed else None)
    assert (gzip.decompress(body) if is_packed else body) == text
    assert int(answer.headers["content-length"]) == len(body)
    for found in (plain, answer):
        assert "accept-encoding" in found.headers["vary"]
    assert not is_packed or len(body) < len(text) / 10


def test_a_small_answer_and_one_that_is_no_text_are_not_packed(server, topic):
    for path in ("/livez", f"/v1/topics/{topic}/records?from=earliest"):
        answer, _ = raw(server, path, **{"Accept-Encoding": "gzip"})
        assert "content-encoding" not in answer.headers and "vary" not in answer.headers


def test_HEAD_tells_what_GET_would(server):
    for accept in ("gzip", "identity"):
        head, nothing = raw(server, "/openapi.yaml", "HEAD", **{"Accept-Encoding": accept})
        get, body = raw(server, "/openapi.yaml", **{"Accept-Encoding": accept})
        assert nothing == b""
        for name in ("content-encoding", "content-length", "vary", "etag"):
            assert head.headers.get(name) == get.headers.get(name), name


def test_a_tag_is_strong_for_one_coding_only(server, topic):
    """RFC 9110 §8.8.3.3; a cache that has either is told that it did not change."""
    server.append(topic, ["x" * 100] * 40)
    path = f"/v1/topics/{topic}/partitions/0/records?offset=0&maxRecords=20"
    plain, _ = raw(server, path)
    packed, _ = raw(server, path, **{"Accept-Encoding": "gzip"})
    tag = plain.headers["etag"]
    assert re.fullmatch(r'"[^"]+"', tag) and packed.headers["etag"] == "W/" + tag
    for accept in ("gzip", "identity"):
        for known in (tag, "W/" + tag):
            same, body = raw(server, path, **{"Accept-Encoding": accept, "If-None-Match": known})
            assert same.status_code == 304 and body == b""
            assert "accept-encoding" in same.headers["vary"]
            assert same.headers["etag"] == known, "which says what the cache has"


@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson"])
def test_a_stream_in_gzip_shows_each_burst_when_it_comes(server, topic, accept):
    with requests.get(f"{server.base}/v1/topics/{topic}/records", stream=True, timeout=20,
                      headers={"Accept": accept, "Accept-Encoding": "gzip"}) as stream:
        assert stream.headers["content-encoding"] == "gzip"
        assert "accept-encoding" in stream.headers["vary"]
        opener, seen = zlib.decompressobj(wbits=31), b""
        for number in range(10):
            server.append(topic, [f"number {number}"])
            while b'"number %d"' % number not in seen:
                seen += opener.decompress(stream.raw.read1(65536, decode_content=False))


def test_a_stream_in_gzip_ends_as_gzip_does(server, topic):
    server.append(topic, list(range(10)))
    answer, body = raw(server, f"/v1/topics/{topic}/records?from=earliest&maxRecords=10",
                       **{"Accept": "application/x-ndjson", "Accept-Encoding": "gzip"})
    assert len(gzip.decompress(body).splitlines()) == 11


def test_gzip_over_HTTP_2(server, full):
    with Connection(server) as c:
        c.headers(1, path=full, extra=[("accept-encoding", "gzip")])
        body = c.answer(1)
        assert c.fields[1]["content-encoding"] == "gzip"
        assert len(json.loads(gzip.decompress(body))["records"]) == 50


def test_ten_gigabytes_of_answers_are_not_kept(server, full):
    before = memory(server)
    for _ in range(300):
        raw(server, full, **{"Accept-Encoding": "gzip"})
    assert memory(server) - before < 8 << 20
