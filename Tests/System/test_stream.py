"""Streams: NDJSON lines and server-sent events (DESIGN.md §5, "Consume")."""

import http.client
import json
import re
import socket
import threading
import time
from datetime import timedelta

import pytest
import sseclient
from requests_sse import EventSource

import contract
from groups import Member
from millrace import Millrace


def lines(server, topic, count, query="?from=earliest"):
    """The first `count` records of a line stream, and the last cursor line seen before them."""
    path = f"/v1/topics/{topic}/records{query}"
    records = []
    with server.stream(path, "application/x-ndjson") as stream:
        for line in stream.iter_lines():
            value = contract.check_line("GET", path, line)
            if "offset" in value:
                records.append(value)
            if len(records) == count:
                return records
    return records


def events(stream, path):
    for event in sseclient.SSEClient(stream).events():
        event.value = contract.check_event(path, event.event, event.data)
        yield event


def test_a_line_stream_has_what_is_there_and_what_comes(server, topic):
    server.append(topic, list(range(50)))
    later = threading.Timer(0.2, lambda: server.append(topic, list(range(50, 100))))
    later.start()
    assert [r["value"] for r in lines(server, topic, 100)] == list(range(100))
    later.join()


def test_a_stream_says_that_nothing_may_buffer_it(server, topic):
    for accept in ("application/x-ndjson", "text/event-stream"):
        with server.stream(f"/v1/topics/{topic}/records", accept) as stream:
            assert stream.headers["cache-control"] == "no-cache, no-transform"
            assert stream.headers["x-accel-buffering"] == "no"
            assert stream.headers["content-type"].split(";")[0] == accept


def test_an_idle_stream_says_at_once_where_it_stands(server, topic):
    path = f"/v1/topics/{topic}/records"
    with server.stream(path, "application/x-ndjson", timeout=5) as stream:
        first = contract.check_line("GET", path, next(stream.iter_lines()))
    assert first["cursor"].startswith("0:0")


def test_max_records_ends_a_stream_regularly(server, topic):
    server.append(topic, list(range(10)))
    path = f"/v1/topics/{topic}/records?maxRecords=4"
    with server.stream(path, "application/x-ndjson") as stream:
        values = [contract.check_line("GET", path, line) for line in stream.iter_lines()]
    assert [v["value"] for v in values[:4]] == [0, 1, 2, 3]
    assert values[-1]["cursor"].startswith("0:4")


@pytest.mark.parametrize("query", ["?waitMs=5", "?maxBytes=5"])
def test_what_belongs_to_pages_is_refused_on_a_stream(server, topic, query):
    answer = server.get(f"/v1/topics/{topic}/records{query}", headers={"Accept": "text/event-stream"})
    assert answer.code == "invalid-parameter"


def test_a_bad_start_of_a_stream_is_a_4xx_and_no_stream(server, topic):
    for query, status in (("?cursor=0:5", 416), ("?from=x", 400), ("?cursor=x", 400)):
        answer = server.get(
            f"/v1/topics/{topic}/records{query}", headers={"Accept": "text/event-stream"}
        )
        assert answer.status == status


def test_every_event_carries_the_cursor_behind_it(server, wide):
    server.append(wide, [{"value": n, "partition": n % 4} for n in range(40)])
    path = f"/v1/topics/{wide}/records"
    with server.stream(path, "text/event-stream") as stream:
        seen = []
        for event in events(stream, path):
            if event.event != "record":
                continue
            seen.append((event.value["partition"], event.value["offset"], event.id))
            if len(seen) == 40:
                break
    place = lambda record: (record[0], record[1])
    assert sorted(map(place, seen)) == [(p, o) for p in range(4) for o in range(10)]
    for index in (0, 13, 38, 39):
        rest = server.page(wide, f"?cursor={seen[index][2]}")["records"]
        got = sorted((r["partition"], r["offset"]) for r in rest)
        assert got == sorted(map(place, seen[index + 1:])), f"resumed behind event {index}"


def test_beyond_sixteen_partitions_the_last_of_a_burst_carries_the_cursor(server):
    server.create("many", partitions=20)
    server.append("many", [{"value": n, "partition": n % 20} for n in range(100)])
    path = "/v1/topics/many/records"
    values, cursor = set(), None
    with server.stream(path, "text/event-stream") as stream:
        for event in events(stream, path):
            if event.event == "record":
                values.add(event.value["value"])
            if event.id and event.event == "record":
                cursor = event.id
            if len(values) == 100 and cursor:
                break
    assert values == set(range(100))
    rest = {r["value"] for r in server.page("many", f"?cursor={cursor}")["records"]}
    assert rest < values, "resuming may repeat the burst, and loses nothing"


def test_a_line_break_within_a_value_does_not_break_an_event(server, topic):
    body = b'{"records":[{"value":{\n"a":\r\n1}}]}'
    server.post(f"/v1/topics/{topic}/records", data=body, headers={"Content-Type": "application/json"})
    path = f"/v1/topics/{topic}/records?maxRecords=1"
    with server.stream(path, "text/event-stream") as stream:
        event = next(events(stream, path))
    assert event.value["value"] == {"a": 1}


def test_last_event_id_is_taken_wherever_cursor_is(server, topic):
    server.append(topic, list(range(5)))
    answer = server.get(f"/v1/topics/{topic}/records", headers={"Last-Event-ID": "0:3"})
    assert [r["value"] for r in answer.json["records"]] == [3, 4]
    bad = server.get(f"/v1/topics/{topic}/records", headers={"Last-Event-ID": "zzz"})
    assert bad.code == "invalid-cursor"
    again = server.get(
        f"/v1/topics/{topic}/records?from=earliest", headers={"Last-Event-ID": "0:4"}
    )
    assert [r["value"] for r in again.json["records"]] == [4], "an EventSource repeats its URL"


def test_heartbeats_come_within_fifteen_seconds(server, topic):
    path = f"/v1/topics/{topic}/records"
    started = time.monotonic()
    with server.stream(path, "text/event-stream", timeout=20) as stream:
        arrived = [time.monotonic() - started for _, event in zip(range(2), events(stream, path))]
    assert arrived[0] < 2 and 10 < arrived[1] < 17


def test_a_stream_whose_records_are_trimmed_ends_with_a_problem_or_goes_on(server):
    """Never a silent skip: what comes is in order, and a gap is said."""
    server.create("trimmed")
    server.append("trimmed", list(range(10)))
    path = "/v1/topics/trimmed/records?cursor=0:10"
    with server.stream(path, "text/event-stream") as stream:
        source = events(stream, path)
        assert next(source).event == "heartbeat"
        server.append("trimmed", [10])
        server.delete("/v1/topics/trimmed/partitions/0/records?before=11")
        server.append("trimmed", [11])
        for event in source:
            if event.event == "problem":
                assert event.value["problem"]["code"] == "offset-trimmed"
                assert event.value["problem"]["earliestOffset"] == 11
                break
            if event.event == "record" and event.value["offset"] == 11:
                break
            assert event.event != "record" or event.value["offset"] == 10


def test_a_stream_that_a_trim_overtakes_ends_with_a_problem_though_it_began_at_the_earliest(server):
    """`from=earliest` goes where the records begin, but only until the first one is delivered."""
    server.create("overtaken", segmentBytes=64 << 10)
    for _ in range(40):
        end = server.append("overtaken", ["x" * 20_000] * 50)[-1]["offset"] + 1
    path = "/v1/topics/overtaken/records?from=earliest"
    connection = http.client.HTTPConnection(server.host, server.port)
    with socket.socket() as connection.sock:
        # A reader with little room, so that the server is soon held back: far from the 40 MB it has.
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        connection.sock.settimeout(60)
        connection.sock.connect((server.host, server.port))
        connection.request("GET", path, headers={"Accept": "application/x-ndjson"})
        stream = connection.getresponse()
        seen = [contract.check_line("GET", path, stream.readline())]
        trimmed = server.delete(f"/v1/topics/overtaken/partitions/0/records?before={end - 10}")
        assert trimmed.status == 200
        while "problem" not in seen[-1] and seen[-1].get("offset") != end - 1:
            seen.append(contract.check_line("GET", path, stream.readline()))
    offsets = [value["offset"] for value in seen if "offset" in value]
    assert offsets == list(range(len(offsets))), "no gap"
    assert seen[-1]["problem"]["code"] == "offset-trimmed"
    assert seen[-1]["problem"]["earliestOffset"] == end - 10


def test_deleting_the_topic_ends_a_stream_with_a_problem(server):
    server.create("doomed")
    path = "/v1/topics/doomed/records"
    with server.stream(path, "text/event-stream") as stream:
        source = events(stream, path)
        assert next(source).event == "heartbeat"
        server.delete("/v1/topics/doomed")
        assert [e.value["problem"]["code"] for e in source if e.event == "problem"] == ["unknown-topic"]


def test_requests_sse_resumes_over_a_restart(data):
    """A client library of its own kind reconnects with Last-Event-ID to a new process, same port."""
    with Millrace(data) as server:
        server.create("t", partitions=3)
        server.append("t", [{"value": n, "partition": n % 3} for n in range(30)])
        listen = f"{server.host}:{server.port}"
        url = f"{server.base}/v1/topics/t/records"
        seen = []
        patience = timedelta(milliseconds=50)
        with EventSource(url, reconnection_time=patience, timeout=30, max_connect_retry=8) as source:
            for event in source:
                if event.type == "record":
                    seen.append(event.data)
                if len(seen) == 17:
                    break
            server.kill()
            with Millrace(data, listen=listen) as second:
                second.append("t", [{"value": n, "partition": n % 3} for n in range(30, 60)])
                for event in source:
                    if event.type == "record":
                        seen.append(event.data)
                    if len(seen) == 60:
                        break
    numbers = [json.loads(data)["value"] for data in seen]
    assert sorted(numbers) == list(range(60)), "nothing lost, nothing twice"


def test_sseclient_resumes_by_hand_over_a_restart(data):
    path = "/v1/topics/t/records"
    with Millrace(data) as server:
        server.create("t")
        server.append("t", list(range(100)))
        seen, last = [], None
        with server.stream(path, "text/event-stream") as stream:
            for event in events(stream, path):
                seen.append(event.value["value"])
                last = event.id
                if len(seen) == 41:
                    break
        server.kill()
    with Millrace(data) as server:
        with server.stream(path, "text/event-stream", **{"Last-Event-ID": last}) as stream:
            for event in events(stream, path):
                seen.append(event.value["value"])
                if len(seen) == 100:
                    break
    assert seen == list(range(100))


def test_a_slow_reader_is_held_back_and_not_buffered_without_end(data):
    """The server must not take 200 MB into memory for a client that does not read."""
    with Millrace(data) as server:
        server.create("t")
        line = b'{"value":"' + b"x" * 1000 + b'"}\n'
        lines_header = {"Content-Type": "application/x-ndjson"}
        for _ in range(10):
            server.post("/v1/topics/t/records", data=line * 10_000, headers=lines_header)
        before = memory(server)
        with server.stream("/v1/topics/t/records", "application/x-ndjson") as stream:
            lines = stream.iter_lines(chunk_size=1 << 16)
            next(lines)
            time.sleep(2)
            assert memory(server) - before < 32 << 20
            count = sum(1 for _ in zip(lines, range(99_000)))
        assert count == 99_000


def memory(server):
    """Resident bytes of the process."""
    with open(f"/proc/{server.process.pid}/statm") as file:
        return int(file.read().split()[1]) * 4096


@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson"])
@pytest.mark.parametrize("whose", ["topic", "member"])
def test_HEAD_of_a_stream_ends_and_the_connection_goes_on(server, topic, whose, accept):
    """There is no body to wait for: a stream that goes on unseen would keep the connection for ever."""
    server.append(topic, [1])
    path = f"/v1/topics/{topic}/records"
    if whose == "member":
        member = Member(server, f"group-{topic}", topic)
        path = f"{member.path}/records?memberEpoch={member.epoch}"
    host = f" HTTP/1.1\r\nHost: {server.host}:{server.port}\r\n"
    with socket.create_connection((server.host, server.port), 10) as connection:
        connection.sendall(f"HEAD {path}{host}Accept: {accept}\r\n\r\n"
                           f"GET /livez{host}\r\n".encode())
        received = b""
        while not received.endswith(b"\r\n\r\nok\n"):
            more = connection.recv(65536)
            assert more, received
            received += more
    head, next_head, body = received.lower().split(b"\r\n\r\n")
    assert head.startswith(b"http/1.1 200") and f"content-type: {accept}".encode() in head
    assert next_head.startswith(b"http/1.1 200")


def read_bytes(server):
    """Bytes that the process has read from files."""
    with open(f"/proc/{server.process.pid}/io") as file:
        return int(re.search(r"rchar: (\d+)", file.read())[1])


@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson"])
def test_a_stream_reads_a_large_batch_about_once(data, accept):
    """Not once more for each burst of it that it writes."""
    with Millrace(data) as server:
        server.create("t")
        server.append("t", ["x" * 1000] * 6000)
        before = read_bytes(server)
        with server.stream("/v1/topics/t/records?maxRecords=6000", accept) as stream:
            assert sum(line.count(b'"offset"') for line in stream.iter_lines(chunk_size=1 << 16)) == 6000
        assert 6_000_000 < read_bytes(server) - before < 4 * 6_000_000
