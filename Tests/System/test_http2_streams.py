"""HTTP/2 as clients use it: every kind of route, many streams at a time, flow control, and the end."""

import json
import re
import shutil
import signal
import subprocess
import threading
import time

import h2.config
import h2.connection
import h2.events
import pytest

from http2 import *
from millrace import Millrace, until


def curl(server, path, *options, data=None):
    """One call of curl that speaks HTTP/2 without being asked; status and body."""
    command = ["curl", "-sS", "--http2-prior-knowledge", "-m", "20", "-w", "\n%{http_code} %{http_version}"]
    done = subprocess.run([*command, *options, server.base + path], input=data, capture_output=True)
    assert done.returncode == 0, done.stderr
    body, _, end = done.stdout.rpartition(b"\n")
    status, version = end.split()
    assert version == b"2"
    return int(status), body


def test_curl_on_every_kind_of_route(server):
    as_json, as_lines = ["-H", "content-type: application/json"], ["-H", "content-type: application/x-ndjson"]
    assert curl(server, "/v1/topics/t", "-XPUT", *as_json, "-d", '{"partitions":1}')[0] == 201
    status, body = curl(server, "/v1/topics/t/records", *as_json, "-d", '{"records":[{"value":1}]}')
    assert json.loads(body) == {"offsets": [{"partition": 0, "offset": 0}]}
    status, body = curl(server, "/v1/topics/t/records?from=earliest")
    assert json.loads(body)["records"][0]["value"] == 1
    assert curl(server, "/v1/topics/t/partitions/0/records?offset=1&waitMs=200")[0] == 200
    lines = b"".join(b'{"value":%d}\n' % n for n in range(20_000))
    status, body = curl(server, "/v1/topics/t/records", *as_lines, "-XPOST", "-T", "-", data=lines)
    assert json.loads(body)["recordCount"] == 20_000
    status, body = curl(server, "/v1/topics/t/records", *as_lines, "-H", "accept: application/x-ndjson",
                        "-XPOST", "-T", "-", data=lines)
    assert len(body.splitlines()) == 20_000
    status, body = curl(server, "/v1/topics/t/records?from=earliest&maxRecords=40001",
                        "-H", "accept: application/x-ndjson")
    assert [json.loads(line)["offset"] for line in body.splitlines()[:40_001]] == list(range(40_001))
    status, body = curl(server, "/v1/topics/t/records?from=earliest&maxRecords=9", "-H", "accept: text/event-stream")
    assert len(re.findall(rb"^event: record$", body, re.M)) == 9
    big = b"x" * 1_000_000
    octets = ["-H", "content-type: application/octet-stream", "--data-binary", "@-"]
    assert curl(server, "/v1/topics/t/records", *octets, data=big)[0] == 200
    status, body = curl(server, "/v1/topics/t/records?from=tail:1")
    assert json.loads(body)["records"][0]["value"].encode() == big
    assert curl(server, "/v1/groups")[0] == 200
    assert curl(server, "/metrics")[0] == 200
    assert curl(server, "/nothing")[0] == 404
    assert curl(server, "/v1/topics/t", "-XDELETE")[0] == 204


def test_HTTP_1_and_HTTP_2_on_one_port(server):
    assert server.get("/livez").status == 200
    assert curl(server, "/livez") == (200, b"ok\n")


def test_a_large_page_lets_other_streams_come_between(server):
    server.create("pages")
    for _ in range(4):
        server.append("pages", [{"value": "x" * 1600}] * 2000)
    with Connection(server, timeout=20) as c:
        page = c.request_fields(path="/v1/topics/pages/records?from=earliest&maxRecords=10000&maxBytes=16000000")
        blocks = c.block(page), c.block()
        c.send(b"".join(
            frame(HEADERS, END_HEADERS | END_STREAM, stream, block) for stream, block in zip((1, 3), blocks)))
        c.until(lambda: len(c.statuses) == 2)
        assert list(c.statuses) == [3, 1]


@pytest.mark.skipif(not shutil.which("h2load"), reason="h2load (nghttp2-client) is absent")
def test_h2load_sees_no_failure(server):
    done = subprocess.run(
        ["h2load", "-n", "20000", "-c", "10", "-m", "100", server.base + "/livez"],
        capture_output=True, text=True, timeout=60)
    assert "20000 succeeded, 0 failed, 0 errored, 0 timeout" in done.stdout, done.stdout


def wait_path(topic, query="waitMs=20000"):
    return f"/v1/topics/{topic}/partitions/0/records?offset=0&{query}"


def test_a_long_poll_wakes_at_the_first_record_beside_others(server, topic):
    with Connection(server) as c:
        for stream in range(1, 100, 2):
            c.headers(stream, path=wait_path(topic))
        c.alive()
        assert not c.statuses
        server.append(topic, [7])
        c.until(lambda: len(c.ended) == 50)
        for stream in range(1, 100, 2):
            assert json.loads(c.bodies[stream])["records"][0]["value"] == 7


def test_a_reset_ends_the_wait_of_its_handler(server, topic):
    """The handler must not wait for its deadline: a thousand of them would be work for nobody."""
    with Connection(server) as c:
        for stream in range(1, 2000, 2):
            c.headers(stream, path=wait_path(topic, "waitMs=30000"))
            if stream % 20 == 19:
                for reset in range(stream - 18, stream + 1, 2):
                    c.frame(RST_STREAM, 0, reset, b"\0\0\0\x08")
                time.sleep(1.1 if stream > 150 else 0)
                c.alive(b"%08d" % stream)
            if stream > 250:
                break
        assert not c.statuses


def test_events_flow_as_they_come(server, topic):
    with Connection(server) as c:
        c.headers(1, path=f"/v1/topics/{topic}/records", extra=[("accept", "text/event-stream")])
        for number in range(20):
            server.append(topic, [number])
            c.until(lambda: b'"value":%d}' % number in c.bodies.get(1, b""))
        assert 1 not in c.ended


def test_the_window_holds_a_stream_back_and_others_go_on(server, topic):
    server.append(topic, ["x" * 100_000] * 8)
    path = f"/v1/topics/{topic}/records?from=earliest&maxRecords=8"
    with Connection(server) as c:
        c.headers(1, path=path, extra=[("accept", "application/x-ndjson")])
        c.until(lambda: len(c.bodies.get(1, b"")) == 65535)
        c.frame(WINDOW_UPDATE, 0, 0, (1 << 24).to_bytes(4, "big"))
        c.headers(3)
        c.answer(3)
        assert len(c.bodies[1]) == 65535
        c.frame(WINDOW_UPDATE, 0, 1, (1 << 24).to_bytes(4, "big"))
        c.answer(1)
        assert len(c.bodies[1]) > 800_000


def test_a_handler_that_reads_opens_the_window(server, topic):
    """16 MB through a window of 256 KiB; hyper-h2 counts along and never sends beyond it."""
    line = b'{"value":"' + b"x" * 1000 + b'"}\n'
    left = memoryview(line * 16_000)
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    with Connection(server, hello=False) as c:
        connection.initiate_connection()
        connection.send_headers(1, c.request_fields("POST", f"/v1/topics/{topic}/records", [
            ("content-type", "application/x-ndjson")]))
        answer, is_ended = b"", False
        while not is_ended:
            while left and (room := min(connection.local_flow_control_window(1), 16384, len(left))):
                connection.send_data(1, left[:room], end_stream=room == len(left))
                left = left[room:]
            c.socket.sendall(connection.data_to_send())
            for event in connection.receive_data(c.socket.recv(65536)):
                if isinstance(event, h2.events.DataReceived):
                    answer += event.data
                is_ended |= isinstance(event, h2.events.StreamEnded)
        assert json.loads(answer)["recordCount"] == 16_000


def test_a_stream_that_nobody_takes_is_cut_and_not_the_connection(server, topic):
    server.append(topic, ["x" * 1000] * 10)
    with Connection(server, settings=setting(WINDOW, 0), timeout=45) as c:
        c.headers(1, path=f"/v1/topics/{topic}/records?from=earliest")
        c.headers(3, path=f"/v1/topics/{topic}/records?from=earliest", extra=[("accept", "text/event-stream")])
        started = time.monotonic()
        c.until(lambda: {1, 3} <= set(c.resets))
        assert 25 < time.monotonic() - started < 40
        assert c.resets == {1: CANCEL, 3: CANCEL}
        c.alive()


def test_a_drain_says_GOAWAY_and_streams_end_with_their_cursor(data):
    with Millrace(data) as server:
        server.create("t")
        server.append("t", [1])
        with Connection(server) as c, Connection(server) as idle:
            c.headers(1, path="/v1/topics/t/records?from=earliest", extra=[("accept", "application/x-ndjson")])
            c.headers(3, path="/v1/topics/t/records?from=latest&waitMs=30000")
            c.until(lambda: b'"offset":0' in c.bodies.get(1, b""))
            c.alive()
            server.process.send_signal(signal.SIGTERM)
            c.until(lambda: {1, 3} <= c.ended)
            assert c.statuses[3] == 200 and "cursor" in json.loads(c.bodies[1].splitlines()[-1])
            c.closed()
            idle.closed()
            assert c.goaway == idle.goaway == NO_ERROR
        assert server.process.wait(10) == 0


def test_an_upload_ends_at_a_drain_with_what_was_appended(data):
    with Millrace(data) as server:
        server.create("t")
        with Connection(server) as c:
            c.headers(1, method="POST", path="/v1/topics/t/records", end=False,
                      extra=[("content-type", "application/x-ndjson"), ("accept", "application/x-ndjson")])
            c.data(1, b'{"value":1}\n')
            c.until(lambda: b'"offset":0' in c.bodies.get(1, b""))
            server.process.send_signal(signal.SIGTERM)
            c.data(1, b'{"value":2}\n', end=True)
            c.until(lambda: 1 in c.ended)
        assert server.process.wait(15) == 0


def test_a_client_that_vanishes_leaves_nothing(server, topic):
    for _ in range(50):
        with Connection(server) as c:
            for stream in (1, 3, 5):
                c.headers(stream, path=wait_path(topic))
            c.headers(7, path=f"/v1/topics/{topic}/records", extra=[("accept", "text/event-stream")])
            c.headers(9, method="POST", path=f"/v1/topics/{topic}/records", end=False)
    is_open = re.compile(rb"^millrace_http_connections [12]$", re.M)
    until(lambda: is_open.search(server.get("/metrics").body))


def test_a_hundred_clients_at_once_get_their_own_answers(server, topic):
    wrong = []

    def work(number):
        with Connection(server, timeout=20) as c:
            for index in range(20):
                stream = 2 * index + 1
                c.headers(stream, path=f"/v1/topics/none-{number}-{index}")
            c.until(lambda: len(c.ended) == 20)
            for index in range(20):
                if f"none-{number}-{index}".encode() not in c.bodies[2 * index + 1]:
                    wrong.append((number, index))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_requests_behind_answers_that_are_taken_slowly_wait_for_them(server, topic):
    """However many they are, and for longer than it takes to refuse them where nothing is taken."""
    server.append(topic, ["x" * 1000] * 1000)
    with Connection(server, timeout=20) as c:
        for stream in (1, 3, 5):
            c.headers(stream, path=f"/v1/topics/{topic}/records?from=earliest")
        for stream in range(7, 67, 2):
            c.headers(stream)
        started, taken, credit = time.monotonic(), 0, {}
        while len(c.ended) < 33:
            kind, _, stream, payload = c.read()
            if kind != DATA or not payload:
                continue
            for number in (0, stream):
                credit[number] = credit.get(number, 0) + len(payload)
                if credit[number] >= 32_000:
                    c.frame(WINDOW_UPDATE, 0, number, credit.pop(number).to_bytes(4, "big"))
            # 300 kB a second: the three have 3 MB.
            taken += len(payload)
            time.sleep(max(0, started + taken / 300_000 - time.monotonic()))
        assert not c.resets and c.goaway is None
        assert set(c.statuses.values()) == {200}


def test_a_request_behind_answers_that_nobody_takes_is_sent_to_another_connection(server, topic):
    """RFC 9113 §8.7: REFUSED_STREAM says that nothing was done, so that the client may repeat it elsewhere."""
    for _ in range(2):
        server.append(topic, ["x" * 1000] * 1000)
    with Connection(server, settings=setting(WINDOW, 0), timeout=20) as c:
        for stream in (1, 3):
            c.headers(stream, path=f"/v1/topics/{topic}/records?from=earliest")
        c.until(lambda: len(c.statuses) == 2)
        c.alive()
        c.headers(5)
        c.until(lambda: 5 in c.resets or 5 in c.ended)
        assert c.resets == {5: REFUSED_STREAM}
        with Connection(server) as other:
            other.headers(1)
            other.answer(1)
        # Once they are out of the way it goes on.
        for stream in (1, 3):
            c.frame(RST_STREAM, 0, stream, CANCEL.to_bytes(4, "big"))
        c.headers(7)
        c.frame(WINDOW_UPDATE, 0, 7, (1000).to_bytes(4, "big"))
        c.answer(7)
