"""Produce that is safe to repeat: Idempotency-Key, Producer-*, If-End-Offset (pitfalls 45 and 46)."""

import collections
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
from millrace import Millrace, run, until

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
