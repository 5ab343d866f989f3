"""Produce that is safe to repeat: Idempotency-Key, Producer-*, If-End-Offset (pitfalls 45 and 46)."""

import collections
import gzip
import http.client
import json
import os
import random
import socket
import threading
import time
from types import SimpleNamespace

import pytest
from kafka.record.default_records import DefaultRecordBatch

import access
import judges
from access import bearer
from faults import injecting
from millrace import Millrace, run, until
from test_compaction import wait_for_pass

ROUNDS = int(os.environ.get("MILLRACE_IDEMPOTENT_KILLS", "8"))
CONNECTIONS = 64
PARTITIONS = 4


def produce(server, topic, values, query="", **headers):
    headers = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    return server.post(f"/v1/topics/{topic}/records{query}", headers=headers,
                       json={"records": [{"value": value} for value in values]})


def values(server, topic):
    return [record["value"] for record in server.page(topic, "?maxRecords=10000")["records"]]


def test_a_key_is_answered_alike_also_after_a_restart_and_when_the_topic_has_grown(data):
    with Millrace(data) as server:
        server.create("t", partitions=2)
        first = produce(server, "t", [1, 2, 3], Idempotency_Key="order-1")
        assert first.status == 200 and "Idempotent-Replayed" not in first.headers
        assert produce(server, "t", [1], Idempotency_Key="order-1").code == "idempotency-key-reused"
        server.kill()
    for stop in ("terminate", "kill"):
        with Millrace(data) as server:
            again = produce(server, "t", [1, 2, 3], Idempotency_Key="order-1")
            assert again.body == first.body
            assert again.headers["Idempotent-Replayed"] == "true"
            assert sorted(values(server, "t")) == [1, 2, 3]
            partitions = len(server.get("/v1/topics/t").json["partitions"])
            assert server.patch("/v1/topics/t", json={"partitions": partitions + 1}).status == 200
            getattr(server, stop)()


@pytest.mark.parametrize("body, headers", [
    (b"raw bytes", {"Content-Type": "application/octet-stream"}),
    (b"{}", {"Content-Type": "application/json", "ce-id": "1", "ce-source": "s", "ce-type": "t",
             "ce-specversion": "1.0"}),
    (b'{"id":"1","source":"s","type":"t","specversion":"1.0"}',
     {"Content-Type": "application/cloudevents+json"}),
])
def test_every_form_takes_a_key(server, topic, body, headers):
    answers = [server.post(f"/v1/topics/{topic}/records", data=body,
                           headers={**headers, "Idempotency-Key": "k"}) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 200]
    assert answers[0].body == answers[1].body
    assert len(server.page(topic)["records"]) == 1


def test_kafka_python_reads_what_producers_and_keys_leave_in_batches(data):
    with Millrace(data) as server:
        topic_id = server.create("t")["topicId"]
        for sequence in (0, 2, 0, 4):
            answer = produce(server, "t", ["a", "b"], "?partition=0", Producer_Id=77,
                             Producer_Epoch=3, Producer_Sequence=sequence)
            assert answer.status == 200
        assert produce(server, "t", ["k"], Idempotency_Key="key").status == 200
        assert server.terminate() == 0
    log = judges.segments(data, topic_id)[0][0]
    batches = [DefaultRecordBatch(raw) for raw in judges.batches(log.read_bytes())[0]]
    assert all(batch.validate_crc() for batch in batches)
    found = [(b.producer_id, b.producer_epoch, b.base_sequence) for b in batches]
    assert found[:3] == [(77, 3, 0), (77, 3, 2), (77, 3, 4)]
    assert len(found) == 4 and found[3][0] >= 1 << 62 and found[3][1] == 1
    records = judges.judge(log)
    assert [record.value for record in records] == [b'"a"', b'"b"'] * 3 + [b'"k"']
    assert all(record.headers == [] for record in records), "nothing of it shows in a record"


def test_a_producer_goes_on_after_kill_9(data):
    for sequence in range(6):
        with Millrace(data) as server:
            if sequence == 0:
                server.create("t")
            else:
                again = produce(server, "t", [sequence - 1], "?partition=0", Producer_Id=5,
                                Producer_Epoch=0, Producer_Sequence=sequence - 1)
                assert again.headers["Idempotent-Replayed"] == "true"
                assert again.json["offsets"] == [{"partition": 0, "offset": sequence - 1}]
                gap = produce(server, "t", [0], "?partition=0", Producer_Id=5, Producer_Epoch=0,
                              Producer_Sequence=sequence + 1)
                assert (gap.code, gap.json["expectedSequence"]) == ("out-of-order-sequence", sequence)
            assert produce(server, "t", [sequence], "?partition=0", Producer_Id=5, Producer_Epoch=0,
                           Producer_Sequence=sequence).status == 200
            server.kill()


def test_an_end_offset_is_won_once_by_64_writers(server, topic):
    won, lock = [], threading.Lock()

    def write(number):
        connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
        wanted = 0
        while True:
            connection.request("POST", f"/v1/topics/{topic}/records?partition=0", str(number),
                               {"Content-Type": "text/plain", "If-End-Offset": str(wanted)})
            answer = connection.getresponse()
            body = json.loads(answer.read())
            if answer.status == 200:
                with lock:
                    won.append((wanted, number))
                assert body["offsets"][0]["offset"] == wanted
                return
            assert (answer.status, body["code"]) == (412, "end-offset-mismatch")
            wanted = body["endOffset"]

    threads = [threading.Thread(target=write, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(offset for offset, _ in won) == list(range(64))
    assert [number for _, number in sorted(won)] == [int(v) for v in values(server, topic)]


RECORDS = json.dumps({"records": [{"value": n} for n in range(5)]}).encode()
ONCE = {"Content-Type": "application/json", "Idempotency-Key": "once"}


def test_one_key_from_16_connections_at_once_is_one_write_and_16_equal_answers(server, wide):
    """Pitfall 46, where the client does not wait for the first try to end."""
    barrier, answers = threading.Barrier(16), []

    def send():
        connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
        connection.connect()
        barrier.wait(60)
        connection.request("POST", f"/v1/topics/{wide}/records", RECORDS, ONCE)
        answer = connection.getresponse()
        answers.append((answer.status, answer.read(), answer.headers.get("Idempotent-Replayed")))

    threads = [threading.Thread(target=send) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(answers) == 16 and {(status, body) for status, body, _ in answers} == {(200, answers[0][1])}
    assert collections.Counter(replayed for *_, replayed in answers) == {"true": 15, None: 1}
    assert sorted(values(server, wide)) == [0, 1, 2, 3, 4]


def test_a_key_lives_on_when_compaction_has_taken_its_records(data):
    """Pitfall 45: what the answer was made of is gone, and the answer is the same."""
    first = json.dumps({"records": [{"key": f"k{n}", "value": "first"} for n in range(3)]})
    with Millrace(data) as server:
        server.create("t", cleanupPolicy="compact", segmentBytes=64 << 10)
        answer = server.post("/v1/topics/t/records", data=first, headers=ONCE)
        assert answer.status == 200
        for number in range(60):
            batch = [{"key": f"k{n}", "value": f"{number} {'x' * 100}"} for n in range(50)]
            assert server.produce("t", batch).status == 200
        wait_for_pass(server)
        kept = server.read_all("t")
        assert all(record["value"] != "first" for record in kept), "the records are compacted away"
        for stop in ("kill", "kill", "terminate"):
            again = server.post("/v1/topics/t/records", data=first, headers=ONCE)
            assert again.body == answer.body and again.headers["Idempotent-Replayed"] == "true"
            assert server.read_all("t")[-1] == kept[-1], "nothing is appended"
            getattr(server, stop)()
            server = Millrace(data)
        server.kill()


def test_a_key_lives_on_when_retention_has_taken_its_records(data):
    """Pitfall 45, over a kill behind the deletion as well."""
    sent = {"Producer_Id": 1, "Producer_Epoch": 0, "Producer_Sequence": 0}
    with Millrace(data) as server:
        server.create("t", segmentBytes=64 << 10)
        answer = server.post("/v1/topics/t/records", data=RECORDS, headers=ONCE)
        producer = produce(server, "t", ["p"], "?partition=0", **sent)
        assert (answer.status, producer.status) == (200, 200)
        for _ in range(6):
            end = server.append("t", ["x" * 30_000])[0]["offset"]
        server.kill()
    with Millrace(data) as server:
        trimmed = server.delete(f"/v1/topics/t/partitions/0/records?before={end}")
        assert trimmed.status in (200, 204), trimmed
        server.kill()
    for stop in ("kill", "terminate"):
        with Millrace(data) as server:
            assert server.get("/v1/topics/t").json["partitions"][0]["logStartOffset"] == end
            again = server.post("/v1/topics/t/records", data=RECORDS, headers=ONCE)
            assert again.body == answer.body and again.headers["Idempotent-Replayed"] == "true"
            again = produce(server, "t", ["p"], "?partition=0", **sent)
            assert again.body == producer.body and again.headers["Idempotent-Replayed"] == "true"
            assert len(server.read_all("t")) == 1
            getattr(server, stop)()


def test_a_key_whose_partition_could_not_be_opened_is_503_and_not_appended_elsewhere(data):
    """What was answered may be where nobody can look."""
    with Millrace(data) as server:
        topic = server.create("t")
        first = [produce(server, "t", [n], Idempotency_Key=f"k{n}") for n in range(8)]
        assert {answer.status for answer in first} == {200}
        assert server.patch("/v1/topics/t", json={"partitions": 2}).status == 200
        assert server.terminate() == 0
    partition = data / "topics" / topic["topicId"] / "0"
    partition.rename(data.parent / "aside")
    with Millrace(data) as server:
        for n in range(8):
            answer = produce(server, "t", [n], Idempotency_Key=f"k{n}")
            assert (answer.status, answer.code) == (503, "partition-failed"), answer
        assert server.page("t", "", 1)["records"] == []
        assert server.terminate() == 0
    (data.parent / "aside").rename(partition)
    with Millrace(data) as server:
        for n, answer in enumerate(first):
            again = produce(server, "t", [n], Idempotency_Key=f"k{n}")
            assert again.body == answer.body and again.headers["Idempotent-Replayed"] == "true"
        assert values(server, "t") == list(range(8))


def test_a_retry_behind_a_trim_a_full_disk_and_kill_9_is_taken_like_the_first_try(data, tmp_path, strace):
    """A trim takes no batch that a kill would forget, so nothing is unknown."""
    both = [{"value": "a", "partition": 0}, {"value": "b", "partition": 1}]
    sent = {"headers": {"Idempotency-Key": "both"}}
    with Millrace(data) as server:
        topic = server.create("t", partitions=2)
        assert produce(server, "t", [0], "?partition=1", Idempotency_Key="before").status == 200
        assert server.delete("/v1/topics/t/partitions/1/records?before=1").status == 200
        log = judges.segments(data, topic["topicId"])[1][-1]
        with injecting(server, "pwrite64", "error=ENOSPC", tmp_path / "trace", log):
            first = server.produce("t", both, **sent)
        assert (first.status, first.code) == (507, "storage-full")
        assert first.json["results"] == [
            {"partition": 0, "offset": 0}, {"partition": 1, "code": "storage-full"}]
        server.kill()
    with Millrace(data) as server:
        again = server.produce("t", both, **sent)
        assert again.status == 200, again
        assert again.json["offsets"] == [{"partition": 0, "offset": 0}, {"partition": 1, "offset": 1}]
        assert sorted(values(server, "t")) == ["a", "b"]
        assert server.produce("t", both, **sent).body == again.body


def test_lines_with_a_key_are_refused(server, topic):
    answer = server.post(f"/v1/topics/{topic}/records", data=b'{"value":1}\n',
                         headers={"Content-Type": "application/x-ndjson", "Idempotency-Key": "k"})
    assert (answer.status, answer.code) == (400, "invalid-header")
    assert values(server, topic) == []


def test_a_retry_in_gzip_is_of_the_same_content(server, topic):
    path = f"/v1/topics/{topic}/records"
    first = server.post(path, data=RECORDS, headers=ONCE)
    assert first.status == 200
    for level in (1, 9):
        again = server.post(path, data=gzip.compress(RECORDS, level),
                            headers={**ONCE, "Content-Encoding": "gzip"})
        assert again.body == first.body and again.headers["Idempotent-Replayed"] == "true"
    other = server.post(path, data=gzip.compress(RECORDS + b" "),
                        headers={**ONCE, "Content-Encoding": "gzip"})
    assert (other.status, other.code) == (422, "idempotency-key-reused")
    assert values(server, topic) == [0, 1, 2, 3, 4]


def test_a_page_may_see_that_an_answer_is_a_replay(data):
    with Millrace(data, "--cors-origins", "https://app.example") as server:
        server.create("t")
        for replayed in (None, "true"):
            answer = server.post("/v1/topics/t/records", data=RECORDS,
                                 headers={**ONCE, "Origin": "https://app.example"})
            assert answer.headers.get("Idempotent-Replayed") == replayed
            exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")
            assert "idempotent-replayed" in exposed


@pytest.mark.parametrize("field, others", [
    ("Idempotency-Key", ()), ("If-End-Offset", ()),
    ("Producer-Id", ("Producer-Epoch", "Producer-Sequence")),
    ("Producer-Epoch", ("Producer-Id", "Producer-Sequence")),
    ("Producer-Sequence", ("Producer-Id", "Producer-Epoch")),
])
def test_a_field_that_comes_twice_is_refused(server, topic, field, others):
    """One of the two would be believed, and a proxy may believe the other."""
    lines = "".join(f"{name}: 0\r\n" for name in (field, *others, field))
    with socket.create_connection((server.host, server.port), timeout=60) as connection:
        connection.sendall(f"POST /v1/topics/{topic}/records?partition=0 HTTP/1.1\r\nHost: a\r\n"
                           f"Content-Type: text/plain\r\n{lines}Content-Length: 1\r\n\r\nx".encode())
        assert connection.makefile("rb").readline().split()[1] == b"400"
    assert values(server, topic) == []


class Writer(threading.Thread):
    """Sends requests that go to several partitions, each with a key of its own, and each again until
    it is answered, over restarts of the server."""

    def __init__(self, number, place, stop):
        super().__init__()
        self.number, self.place, self.stop = number, place, stop
        self.sent, self.replayed, self.problems = [], 0, []

    def run(self):
        count = 0
        while not self.stop.is_set():
            wanted = [f"{self.number}-{count}-{record}" for record in range(1 + self.number % 5)]
            records = [{"value": value, **({"key": value} if index % 2 else {})}
                       for index, value in enumerate(wanted)]
            self.until_answered(json.dumps({"records": records}), f"{self.number}-{count}")
            self.sent += wanted
            count += 1

    def until_answered(self, body, key):
        connection = None
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                if connection is None:
                    connection = http.client.HTTPConnection(*self.place(), timeout=20)
                connection.request("POST", "/v1/topics/t/records", body,
                                   {"Content-Type": "application/json", "Idempotency-Key": key})
                answer = connection.getresponse()
                text = answer.read()
                if answer.status == 200:
                    self.replayed += answer.headers.get("Idempotent-Replayed") == "true"
                    return
                if answer.status != 503:
                    self.problems.append(text)
                    return
            except (OSError, http.client.HTTPException):
                connection = None
            time.sleep(0.02)
        self.problems.append("no answer in two minutes")


def test_each_record_is_there_exactly_once_after_kill_9_with_retries(data):
    chance = random.Random(6)
    stop, place = threading.Event(), [("127.0.0.1", 1)]
    writers = [Writer(number, lambda: place[0], stop) for number in range(CONNECTIONS)]
    for number in range(ROUNDS):
        with Millrace(data) as server:
            if number == 0:
                server.create("t", partitions=PARTITIONS, segmentBytes=1 << 18)
            place[0] = (server.host, server.port)
            if number == 0:
                for writer in writers:
                    writer.start()
            time.sleep(0.3 + chance.random() * 0.5)
            server.kill()
    with Millrace(data) as server:
        place[0] = (server.host, server.port)
        stop.set()
        for writer in writers:
            writer.join(150)
            assert not writer.is_alive() and writer.problems == []
        found, cursor = [], "?maxRecords=10000&maxBytes=16000000"
        while True:
            page = server.page("t", cursor)
            found += [record["value"] for record in page["records"]]
            if page["caughtUp"]:
                break
            cursor = f"?cursor={page['cursor']}&maxRecords=10000&maxBytes=16000000"
    sent = [value for writer in writers for value in writer.sent]
    assert len(found) == len(set(found)), "no record is doubled"
    assert sorted(found) == sorted(sent), "none is lost"
    assert sum(writer.replayed for writer in writers) > 0, "some answers were lost and replayed"


def test_memory_stays_bounded_under_keys_that_never_come_again(data):
    with Millrace(data) as server:
        server.create("t")

        def send(numbers):
            connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
            for number in numbers:
                connection.request("POST", "/v1/topics/t/records?acks=leader", "x",
                                   {"Content-Type": "text/plain", "Idempotency-Key": f"k{number}"})
                answer = connection.getresponse()
                answer.read()
                assert answer.status == 200

        def send_all(numbers):
            threads = [threading.Thread(target=send, args=(numbers[n::8],)) for n in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(300)

        def resident():
            with open(f"/proc/{server.process.pid}/statm") as statm:
                return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

        send_all(range(20_000))
        before = resident()
        send_all(range(20_000, 100_000))
        assert resident() - before < 8 << 20, "80,000 more keys take no more memory"
        again = server.post("/v1/topics/t/records?acks=leader", data="x",
                            headers={"Content-Type": "text/plain", "Idempotency-Key": "k99999"})
        assert again.headers["Idempotent-Replayed"] == "true"

# Of whom a key is


@pytest.fixture
def guarded(tmp_path):
    path = tmp_path / "access.json"
    access.write(path, [
        {"principal": "ann", "allow": ["topic:t=write"]},
        {"principal": "bob", "allow": ["topic:t=write"]},
        {"principal": "eve", "allow": ["topic:t=read"]},
        {"principal": "few", "allow": ["topic:t=write"], "quota": {"requestsPerSecond": 1}},
        {"principal": "small", "allow": ["topic:t=write"], "quota": {"bytesInPerSecond": 100}},
        {"principal": "admin", "allow": ["topic:*=all"]},
    ])
    tokens = {who: access.token(path, who) for who in ("ann", "bob", "eve", "few", "small", "admin")}
    tokens["ann, later"] = access.token(path, "ann")
    with Millrace(tmp_path / "log", "--access-file", path) as server:
        assert server.put("/v1/topics/t", json={}, headers=bearer(tokens["admin"])).status == 201

        def ask(who, values, query="", **fields):
            return produce(server, "t", values, query, **fields, **bearer(tokens[who]))

        def count():
            page = server.get("/v1/topics/t/records?maxRecords=1000", headers=bearer(tokens["admin"]))
            return len(page.json["records"])

        yield SimpleNamespace(server=server, path=path, tokens=tokens, ask=ask, count=count)


RULES = {
    "key": ("", {"Idempotency_Key": "k"}),
    "producer": ("?partition=0", {"Producer_Id": 1, "Producer_Epoch": 0, "Producer_Sequence": 0}),
    "end offset": ("?partition=0", {"If_End_Offset": 0}),
}


def test_a_key_is_its_principals_alone(guarded):
    """Another's answer is neither told nor in the way; a new token of the same principal finds it."""
    first = guarded.ask("ann", [1], Idempotency_Key="order-1")
    other = guarded.ask("bob", [1], Idempotency_Key="order-1")
    assert (first.status, other.status) == (200, 200)
    assert "Idempotent-Replayed" not in other.headers
    assert other.json != first.json and guarded.count() == 2
    assert guarded.ask("bob", [2], Idempotency_Key="order-2").status == 200
    assert guarded.ask("ann", [3], Idempotency_Key="order-2").status == 200, "and no 422 either"
    again = guarded.ask("ann, later", [1], Idempotency_Key="order-1")
    assert again.json == first.json and again.headers["Idempotent-Replayed"] == "true"
    assert guarded.count() == 4


@pytest.mark.parametrize("rule", RULES)
def test_permissions_hold_as_for_a_plain_produce(guarded, rule):
    query, fields = RULES[rule]
    assert guarded.ask("eve", [1], query, **fields).code == "forbidden"
    assert produce(guarded.server, "t", [1], query, **fields).code == "unauthenticated"
    assert guarded.ask("ann", [1], query, **fields).status == 200
    assert guarded.ask("eve", [1], query, **fields).code == "forbidden", "nor is it replayed"
    run("token", "revoke", guarded.tokens["ann"], "--access-file", guarded.path)
    until(lambda: guarded.ask("ann", [1], query, **fields).status == 401)
    assert guarded.count() == 1


def test_a_token_revoked_while_its_request_waits_appends_nothing(guarded):
    """Head and half of the body have come; the rest comes when the token is of no use any more."""
    with socket.create_connection((guarded.server.host, guarded.server.port), timeout=60) as connection:
        connection.sendall(
            f"POST /v1/topics/t/records HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            f"Idempotency-Key: k\r\nAuthorization: Bearer {guarded.tokens['ann']}\r\n"
            f"Content-Length: {len(RECORDS)}\r\n\r\n".encode() + RECORDS[:9])
        run("token", "revoke", guarded.tokens["ann"], "--access-file", guarded.path)
        until(lambda: guarded.ask("ann", [1], "?partition=7").status == 401)
        connection.sendall(RECORDS[9:])
        answers = connection.makefile("rb")
        assert answers.readline().split()[1] == b"401"
        length = int(http.client.parse_headers(answers)["content-length"])
        assert json.loads(answers.read(length))["code"] == "unauthenticated"
    assert guarded.count() == 0
    first = guarded.ask("ann, later", [1], Idempotency_Key="k")
    assert first.status == 200 and "Idempotent-Replayed" not in first.headers, "nor is the key used up"


def test_quotas_count_tries_and_their_bytes(guarded):
    answers = [guarded.ask("few", [1], Idempotency_Key="k") for _ in range(8)]
    assert answers[0].status == 200 and answers[-1].code == "quota-exceeded"
    assert {answer.status for answer in answers} == {200, 429}
    answers = [guarded.ask("small", ["x" * 300], Idempotency_Key="k") for _ in range(4)]
    assert answers[0].status == 200 and answers[-1].code == "quota-exceeded"
    assert guarded.count() == 2


# What is forgotten


def flood(server, heads, body=b"x", query=""):
    """Posts a record under each of these header lines, many in a packet; the statuses."""
    statuses = collections.Counter()
    with socket.create_connection((server.host, server.port), timeout=120) as connection:
        answers = connection.makefile("rb")
        for start in range(0, len(heads), 100):
            some = heads[start:start + 100]
            connection.sendall(b"".join(
                b"POST /v1/topics/t/records?acks=leader%b HTTP/1.1\r\nHost: a\r\n"
                b"Content-Type: text/plain\r\n%bContent-Length: %d\r\n\r\n%b"
                % (query.encode(), head.encode(), len(body), body) for head in some))
            for _ in some:
                statuses[int(answers.readline().split()[1])] += 1
                answers.read(int(http.client.parse_headers(answers)["content-length"]))
    return statuses


def test_what_was_forgotten_is_said_to_be_unknown_and_not_doubled(data):
    """Pitfall 45: producer state lost or expired, duplicates. A retry behind a restart or behind
    expiry is the same answer or an explicit 'unknown'."""
    sent = {"Producer_Id": 1, "Producer_Epoch": 0}
    with Millrace(data) as server:
        server.create("t", partitions=2)
        # One record in each partition; and a producer with two batches in partition 0.
        both = [{"value": "a", "partition": 0}, {"value": "b", "partition": 1}]
        cut = server.produce("t", both, headers={"Idempotency-Key": "both"})
        assert cut.status == 200
        first = [produce(server, "t", [n], "?partition=0", Producer_Sequence=n, **sent)
                 for n in range(2)]
        server.kill()
    with Millrace(data) as server:
        for n, answer in enumerate(first):
            again = produce(server, "t", [n], "?partition=0", Producer_Sequence=n, **sent)
            assert again.body == answer.body and again.headers["Idempotent-Replayed"] == "true"
        assert server.produce("t", both, headers={"Idempotency-Key": "both"}).body == cut.body
        heads = [f"Idempotency-Key: other {n}\r\n" for n in range(13_000)] + [
            f"Producer-Id: {100 + n}\r\nProducer-Epoch: 0\r\nProducer-Sequence: 0\r\n"
            for n in range(13_000)]
        assert flood(server, heads, query="&partition=0") == {200: 26_000}
        server.kill()
    for stop in ("kill", "terminate", "kill"):
        with Millrace(data) as server:
            end = lambda: [p["highWatermark"]
                           for p in server.get("/v1/topics/t").json["partitions"]]
            before = end()
            # Partition 1 remembers the key and partition 0 does not: what it said is not known.
            answer = server.produce("t", both, headers={"Idempotency-Key": "both"})
            assert (answer.status, answer.code) == (409, "idempotency-key-forgotten")
            for sequence in (1, 2):
                answer = produce(server, "t", [1], "?partition=0", Producer_Sequence=sequence, **sent)
                assert (answer.status, answer.code) == (409, "unknown-producer")
            assert end() == before
            getattr(server, stop)()
    with Millrace(data) as server:
        # As the problem says: a higher epoch goes on.
        assert produce(server, "t", [2], "?partition=0", Producer_Id=1, Producer_Epoch=1,
                       Producer_Sequence=0).status == 200
