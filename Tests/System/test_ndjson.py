"""Produce as lines (DESIGN.md §5): appended as they come, a bad line stops it and says where."""

import json
import socket

import contract

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


def test_acknowledgements_end_with_the_problem_of_a_bad_line(server, topic):
    answer = post(server, topic, b'{"value":1}\nnonsense\n', Accept="application/x-ndjson")
    lines = [json.loads(line) for line in answer.body.splitlines()]
    assert lines[0] == {"partition": 0, "offset": 0}
    assert lines[-1]["problem"]["line"] == 2
    assert [r["value"] for r in server.page(topic)["records"]] == [1]


def test_lines_are_acknowledged_while_the_body_goes_on(server, topic):
    """A line is appended as it arrives: its answer must come before the body ends."""
    path = f"/v1/topics/{topic}/records"
    with socket.create_connection((server.host, server.port), 10) as connection:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {server.host}:{server.port}\r\n"
            "Content-Type: application/x-ndjson\r\nAccept: application/x-ndjson\r\n"
            "Transfer-Encoding: chunked\r\n\r\n"
        )
        connection.sendall(head.encode())
        received = b""
        for number in range(3):
            line = b'{"value":%d}\n' % number
            connection.sendall(b"%x\r\n%s\r\n" % (len(line), line))
            wanted = b'"offset":%d}' % number
            while wanted not in received:
                more = connection.recv(4096)
                assert more, received
                received += more
        connection.sendall(b"0\r\n\r\n")
        while not received.endswith(b"0\r\n\r\n"):
            more = connection.recv(4096)
            assert more, received
            received += more
    lines = [line for line in received.decode().split("\r\n") if line.startswith("{")]
    for line in "".join(lines).splitlines():
        contract.check_line("POST", path, line)


def test_a_line_over_the_servers_limit_is_413(server, topic):
    answer = post(server, topic, b'{"value":1}\n{"value":"' + b"x" * (17 << 20) + b'"}\n')
    assert answer.status == 413, answer
    assert answer.json["line"] == 2
    assert [r["value"] for r in server.page(topic)["records"]] == [1]


def test_an_idempotency_key_with_lines_is_refused(server, topic):
    answer = post(server, topic, b'{"value":1}\n', **{"Idempotency-Key": "k"})
    assert answer.status in (400, 501), answer
    assert server.page(topic)["records"] == []
