"""kill -9 in the middle of 64-connection produce, again and again (RELIABILITY.md R3, pitfalls 1, 16).

MILLRACE_KILLS is the number of rounds, 50 if unset. No acknowledged record may be missing, no offset
may be given twice, and the log must be dense; kafka-python and librdkafka judge what is on disk.
"""

import http.client
import json
import os
import random
import threading
import time

import judges
from millrace import Millrace

ROUNDS = int(os.environ.get("MILLRACE_KILLS", "50"))
CONNECTIONS = 64
PARTITIONS = 4


class Producers:
    """Connections that append records with values of their own until the server is gone."""

    def __init__(self, server, round_number):
        self.server, self.round = server, round_number
        self.acknowledged = []  # (partition, offset, value); list.append is atomic
        self.problems = []
        self.threads = [
            threading.Thread(target=self._produce, args=(number,)) for number in range(CONNECTIONS)
        ]
        for thread in self.threads:
            thread.start()

    def _produce(self, number):
        connection = http.client.HTTPConnection(self.server.host, self.server.port, timeout=20)
        headers = {"Content-Type": "application/json"}
        count = 0
        try:
            while True:
                values = [f"{self.round}-{number}-{count + n}" for n in range(1 + number % 3)]
                count += len(values)
                body = json.dumps({"records": [{"key": v, "value": v} for v in values]})
                connection.request("POST", "/v1/topics/t/records", body, headers)
                answer = connection.getresponse()
                text = answer.read()
                if answer.status != 200:
                    self.problems.append(text)
                    return
                for value, place in zip(values, json.loads(text)["offsets"]):
                    self.acknowledged.append((place["partition"], place["offset"], value))
        except (OSError, http.client.HTTPException, ValueError):
            return  # The server was killed: what was on its way is acknowledged to nobody.

    def join(self):
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive()


def read_partition(server, partition, start):
    """Records from an offset on."""
    records, cursor = [], f"?offset={start}&maxRecords=10000&maxBytes=16000000"
    while True:
        page = server.page("t", cursor, partition)
        records += page["records"]
        if page["caughtUp"]:
            return records
        cursor = f"?cursor={page['cursor']}&maxRecords=10000&maxBytes=16000000"


def check_round(server, acknowledged, ends):
    """What was acknowledged is there, at its place; offsets go on where they stood."""
    for partition in range(PARTITIONS):
        records = read_partition(server, partition, ends[partition])
        offsets = [record["offset"] for record in records]
        wanted = list(range(ends[partition], ends[partition] + len(records)))
        assert offsets == wanted, "offsets are dense and none is given twice"
        found = {record["offset"]: record["value"] for record in records}
        for place, offset, value in acknowledged:
            if place == partition:
                assert found.get(offset) == value, f"acknowledged and lost: {partition}:{offset}"
        ends[partition] += len(records)


def test_no_acknowledged_record_is_missing_after_kill_9(data):
    chance = random.Random(4)
    ends = [0] * PARTITIONS
    total, topic_id = 0, None
    for number in range(ROUNDS):
        with Millrace(data) as server:
            if number == 0:
                topic_id = server.create("t", partitions=PARTITIONS, segmentBytes=1 << 18)["topicId"]
            else:
                check_round(server, acknowledged, ends)
            producers = Producers(server, number)
            time.sleep(0.05 + chance.random() * 0.35)
            server.kill()
            producers.join()
            acknowledged = producers.acknowledged
            assert producers.problems == []
            total += len(acknowledged)
    with Millrace(data) as server:
        check_round(server, acknowledged, ends)
        assert server.terminate() == 0
    assert total > ROUNDS * 100, "the producers did produce"
    logs = judges.segments(data, topic_id)
    assert [sum(len(judges.judge(log)) for log in partition) for partition in logs] == ends
    assert [len(judges.librdkafka(partition)) for partition in logs] == ends


def test_what_a_reader_saw_is_never_taken_back(data):
    """Pitfall 16: with acks=leader an answer may be lost in a crash, but never a record that was read."""
    seen = {}
    for number in range(min(ROUNDS, 5)):
        with Millrace(data) as server:
            if number == 0:
                server.create("t")
            after = {r["offset"]: r["value"] for r in read_partition(server, 0, 0)}
            assert {o: after.get(o) for o in seen} == seen
            stop = threading.Event()

            def produce():
                connection = http.client.HTTPConnection(server.host, server.port, timeout=20)
                count = 0
                while not stop.is_set():
                    try:
                        connection.request("POST", "/v1/topics/t/records?acks=leader",
                                           f"{number}-{count}", {"Content-Type": "text/plain"})
                        connection.getresponse().read()
                    except (OSError, http.client.HTTPException):
                        return
                    count += 1

            threads = [threading.Thread(target=produce) for _ in range(8)]
            for thread in threads:
                thread.start()
            deadline = time.monotonic() + 0.3
            position = len(after)
            while time.monotonic() < deadline:
                page = server.page("t", f"?offset={position}&waitMs=100", 0)
                seen.update((r["offset"], r["value"]) for r in page["records"])
                position += len(page["records"])
            server.kill()
            stop.set()
            for thread in threads:
                thread.join(30)
    assert len(seen) > 100


def test_a_log_of_100_mb_starts_in_under_a_second_after_kill_9(data):
    lines = {"Content-Type": "application/x-ndjson"}
    with Millrace(data) as server:
        server.create("t")
        body = b'{"value":"' + b"x" * 1000 + b'"}\n'
        for _ in range(10):
            assert server.post("/v1/topics/t/records", data=body * 10_000, headers=lines).status == 200
        written = server.get("/v1/topics/t").json["partitions"][0]
        assert written["bytes"] > 100_000_000
        server.kill()
    with Millrace(data) as server:
        assert server.start_seconds < 1
        assert server.get("/readyz").status == 200
        after = server.get("/v1/topics/t").json["partitions"][0]
        assert after["highWatermark"] == written["highWatermark"] == 100_000
