"""Produce as lines (DESIGN.md §5): appended as they come, a bad line stops it and says where."""

import json
import socket

import pytest

import contract
from http2 import NO_ERROR, Connection
from millrace import Millrace

LINES = {"Content-Type": "application/x-ndjson"}


def post(server, topic, body, **headers):
    return server.post(f"/v1/topics/{topic}/records", data=body, headers={**LINES, **headers})


def test_lines_become_records_and_the_answer_sums_them_up(server, topic):
    body = b"".join(b'{"value":%d}\n' % n for n in range(1000))
    answer = post(server, topic, body)
    assert answer.status == 200
    assert answer.json == {
        "recordCount": 1000, "partitions": [{"partition": 0, "firstOffset": 0, "lastOffset": 999}],
    }
    assert [r["value"] for r in server.read_all(topic)] == list(range(1000))


def test_the_summary_has_every_partition(server, wide):
    body = b"".join(b'{"value":%d,"partition":%d}\n' % (n, n % 4) for n in range(40))
    answer = post(server, wide, body).json
    assert answer["recordCount"] == 40
    assert sorted(answer["partitions"], key=lambda p: p["partition"]) == [
        {"partition": p, "firstOffset": 0, "lastOffset": 9} for p in range(4)
    ]


def test_a_last_line_needs_no_line_feed_and_lines_may_end_in_crlf(server, topic):
    assert post(server, topic, b'{"value":1}\r\n{"value":2}').json["recordCount"] == 2
    assert [r["value"] for r in server.page(topic)["records"]] == [1, 2]


def test_an_empty_body_appends_nothing(server, topic):
    answer = post(server, topic, b"")
    assert answer.status == 200 and answer.json == {"recordCount": 0, "partitions": []}


def test_a_bad_line_stops_it_and_what_stood_before_is_appended(server, topic):
    answer = post(server, topic, b'{"value":1}\n{"value":2}\n{"value":}\n{"value":4}\n')
    assert (answer.status, answer.code) == (400, "invalid-json")
    assert answer.json["line"] == 3 and answer.json["position"] == 9
    assert answer.json["recordCount"] == 2
    assert answer.json["partitions"] == [{"partition": 0, "firstOffset": 0, "lastOffset": 1}]
    assert [r["value"] for r in server.page(topic)["records"]] == [1, 2]


def test_an_acknowledgement_line_streams_back_per_record(server, topic):
    answer = post(server, topic, b'{"value":1}\n{"value":2}\n', Accept="application/x-ndjson")
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.body.splitlines()]
    assert lines == [{"partition": 0, "offset": 0}, {"partition": 0, "offset": 1}]


@pytest.mark.parametrize("accept, kind", [
    ("application/json, application/x-ndjson;q=0.1", "application/json"),
    ("application/x-ndjson;q=0.1, application/json;q=0.9", "application/json"),
    ("application/x-ndjson;q=0, application/json", "application/json"),
    ("application/x-ndjson;q=0.5, */*", "application/json"),
    ("application/x-ndjson", "application/x-ndjson"),
    ("application/x-ndjson, application/json", "application/x-ndjson"),
    ("application/json, application/x-ndjson", "application/x-ndjson"),
    ("application/json;q=0.5, application/x-ndjson;q=0.6", "application/x-ndjson"),
])
def test_the_form_with_the_greater_weight_is_the_answers_and_lines_among_equals(server, topic, accept, kind):
    answer = post(server, topic, b'{"value":1}\n', Accept=accept)
    assert (answer.status, answer.headers["content-type"]) == (200, kind)


def test_a_bad_line_before_the_first_acknowledgement_is_a_plain_problem(server, topic):
    """A failed record is never under a 200 where that can be helped."""
    answer = post(server, topic, b"nonsense\n", Accept="application/x-ndjson")
    assert (answer.status, answer.json["line"], answer.json["recordCount"]) == (400, 1, 0)


def test_what_stands_in_front_of_a_bad_line_is_acknowledged_though_all_came_at_once(server, topic):
    answer = post(server, topic, b'{"value":1}\nnonsense\n', Accept="application/x-ndjson")
    first, last = [json.loads(line) for line in answer.body.splitlines()]
    assert first == {"partition": 0, "offset": 0}
    assert (last["problem"]["line"], last["problem"]["recordCount"]) == (2, 1)


class LineProducer:
    """A produce by lines whose body goes on while answers come."""

    def __init__(self, server, topic):
        self.path = f"/v1/topics/{topic}/records"
        self.connection = socket.create_connection((server.host, server.port), 10)
        self.received = b""
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: {server.host}:{server.port}\r\n"
            "Content-Type: application/x-ndjson\r\nAccept: application/x-ndjson\r\n"
            "Transfer-Encoding: chunked\r\n\r\n"
        )
        self.connection.sendall(head.encode())

    def send(self, line):
        self.connection.sendall(b"%x\r\n%s\r\n" % (len(line), line))

    def receive(self, wanted):
        """Reads on until `wanted` came."""
        while wanted not in self.received:
            more = self.connection.recv(4096)
            assert more, self.received
            self.received += more

    def lines(self):
        """All lines that came, checked."""
        texts = [t for t in self.received.decode().split("\r\n") if t.startswith("{")]
        return [contract.check_line("POST", self.path, t) for t in "".join(texts).splitlines()]


def test_lines_are_acknowledged_while_the_body_goes_on(server, topic):
    """A line is appended as it arrives: its answer must come before the body ends."""
    producer = LineProducer(server, topic)
    with producer.connection:
        for number in range(3):
            producer.send(b'{"value":%d}\n' % number)
            producer.receive(b'"offset":%d}' % number)
        producer.connection.sendall(b"0\r\n\r\n")
        producer.receive(b"\r\n0\r\n\r\n")
    assert producer.lines() == [{"partition": 0, "offset": n} for n in range(3)]


def test_acknowledgements_end_with_the_problem_of_a_bad_line(server, topic):
    producer = LineProducer(server, topic)
    with producer.connection:
        producer.send(b'{"value":1}\n')
        producer.receive(b'"offset":0}')
        producer.send(b"nonsense\n")
        producer.receive(b"\r\n0\r\n\r\n")
    first, last = producer.lines()
    assert first == {"partition": 0, "offset": 0}
    assert (last["problem"]["line"], last["problem"]["recordCount"]) == (2, 1)
    assert [r["value"] for r in server.page(topic)["records"]] == [1]


def test_a_line_over_the_servers_limit_is_413(server, topic):
    answer = post(server, topic, b'{"value":1}\n{"value":"' + b"x" * (17 << 20) + b'"}\n')
    assert answer.status == 413, answer
    assert answer.json["line"] == 2
    assert [r["value"] for r in server.page(topic)["records"]] == [1]


def test_a_line_without_an_end_counts_against_what_the_server_may_hold(data):
    with Millrace(data, "--max-buffered-bytes", 300_000) as server:
        server.create("lines")
        long = b'{"value":1}\n{"value":"' + b"x" * 500_000 + b'"}\n'
        refused = post(server, "lines", long)
        assert refused.status == 503 and refused.code == "server-busy"
        assert refused.json["recordCount"] == 1
        # Let go of with the exchange.
        assert post(server, "lines", long[:200_000] + b'"}\n').status == 200


def test_an_idempotency_key_with_lines_is_refused(server, topic):
    answer = post(server, topic, b'{"value":1}\n', **{"Idempotency-Key": "k"})
    assert answer.code == "invalid-header", answer
    assert server.page(topic)["records"] == []


def test_acknowledgements_end_with_the_problem_of_a_pause_that_was_too_long(server, topic):
    """What was appended stays acknowledged: the answer ends regularly, on either protocol."""
    producer = LineProducer(server, topic)
    producer.connection.settimeout(30)
    with producer.connection, Connection(server, timeout=30) as c:
        producer.send(b'{"value":1}\n')
        c.headers(1, method="POST", path=producer.path, end=False, extra=[
            ("content-type", "application/x-ndjson"), ("accept", "application/x-ndjson")])
        c.data(1, b'{"value":2}\n')
        producer.receive(b'"offset":')
        c.until(lambda: b'"offset":' in c.bodies.get(1, b""))
        producer.receive(b"\r\n0\r\n\r\n")
        c.answer(1)
        assert 1 in c.ended and c.resets.get(1, NO_ERROR) == NO_ERROR
        c.alive()
    texts = c.bodies[1].decode().splitlines()
    for lines in (producer.lines(), [contract.check_line("POST", producer.path, text) for text in texts]):
        first, last = lines
        assert first["partition"] == 0 and first["offset"] in (0, 1)
        problem = last["problem"]
        assert (problem["status"], problem["code"], problem["recordCount"]) == (408, "request-timeout", 1)
    assert sorted(record["value"] for record in server.page(topic)["records"]) == [1, 2]
