"""Few descriptors, on the real program: 2,000 partitions of several segments within 4,096 (pitfall 28),
more clients than there are, and none left for a while."""

import base64
import os
import socket
import time

import judges
from faults import injecting
from groups import Waiting
from millrace import Millrace, until

PARTITIONS, SEGMENTS, LIMIT = 1000, 3, 4096
# One record fills a segment: the next one begins another.
VALUE = base64.b64encode(bytes(49_000)).decode()


def descriptors(server):
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def fill(server, topic):
    server.create(topic, partitions=PARTITIONS, segmentBytes=64 << 10)
    for round_ in range(SEGMENTS):
        for first in range(0, PARTITIONS, 100):
            batch = [
                {"partition": p, "key": f"{p}/{round_}", "value": VALUE}
                for p in range(first, first + 100)
            ]
            assert server.produce(topic, batch, "?acks=leader").status == 200


def read_some(server, topic, step):
    for partition in range(0, PARTITIONS, step):
        for offset in range(SEGMENTS):
            page = server.get(
                f"/v1/topics/{topic}/partitions/{partition}/records?offset={offset}&maxRecords=1"
            ).json
            assert page["records"][0]["key"] == f"{partition}/{offset}"
            assert page["records"][0]["value"] == VALUE


def test_two_thousand_partitions_fit_in_4096_descriptors(data):
    wrapper = ("bash", "-c", f'ulimit -n {LIMIT} && exec "$@"', "-")
    with Millrace(data, wrapper=wrapper, wait=120) as server:
        for topic in ("a", "b"):
            fill(server, topic)
        for topic in ("a", "b"):
            read_some(server, topic, 4)
        assert descriptors(server) < LIMIT - 500
        clients = [socket.create_connection((server.host, server.port)) for _ in range(500)]
        assert server.produce("a", [{"partition": 0, "key": "with many", "value": 1}]).status == 200
        for client in clients:
            client.close()
        server.kill()
    with Millrace(data, wrapper=wrapper, wait=120) as server:
        assert descriptors(server) < 2_500, "closed segments are opened when they are read"
        for topic in ("a", "b"):
            read_some(server, topic, 10)
            assert server.produce(topic, [{"partition": 7, "key": "on", "value": 1}]).status == 200
        assert descriptors(server) < LIMIT - 500
        assert server.terminate(120) == 0
    with Millrace(data, wrapper=wrapper, wait=120) as server:
        read_some(server, "a", 50)
        assert "error" not in server.log()


def fill_sealed(server, count):
    """A topic `t` with so many sealed segments; the next batch of twenty begins another."""
    topic = server.create("t", segmentBytes=64 << 10)
    for _ in range(3 * (count + 1)):
        server.append("t", ["x" * 1000] * 20)
    return topic


def test_more_clients_than_descriptors_leave_the_log_its_own(data):
    wrapper = ("bash", "-c", 'ulimit -n 256 && exec "$@"', "-")
    with Millrace(data, wrapper=wrapper) as server:
        fill_sealed(server, 2)
        clients = []
        try:
            for _ in range(300):
                clients.append(socket.create_connection((server.host, server.port), timeout=30))
            time.sleep(0.5)
            for _ in range(4):
                answer = server.produce("t", ["x" * 1000] * 20)
                assert answer.status == 200, answer
            assert len(server.page("t", "?offset=0&maxRecords=5", 0)["records"]) == 5, "of a sealed one"
            server.create("another")
            server.append("another", [1])
        finally:
            for client in clients:
                client.close()
        until(lambda: descriptors(server) < 100, 20)
        assert "failure" not in server.get("/v1/topics/t").json["partitions"][0]


def test_a_segment_begun_while_short_of_descriptors_fails_no_partition(data, tmp_path, strace):
    """Its records are synced, and of its name in the directory nothing is known: it is tried again."""
    with Millrace(data) as server:
        topic = fill_sealed(server, 1)
        directory = judges.segments(data, topic["topicId"])[0][0].parent
        with injecting(server, "openat", "error=EMFILE", tmp_path / "trace", directory) as has_failed:
            producing = Waiting(lambda: server.append("t", ["x" * 1000] * 20))
            until(has_failed, 30)
            time.sleep(0.2)
            assert server.get("/livez").status == 200
        assert producing.end()[-1]["offset"] == 139
        for number in range(3):
            assert server.append("t", ["on"])[0]["offset"] == 140 + number
        assert "failure" not in server.get("/v1/topics/t").json["partitions"][0]
        server.kill()
    with Millrace(data) as server:
        assert [r["offset"] for r in server.read_all("t")] == list(range(143))


def test_a_scrubber_short_of_descriptors_takes_nothing_for_damage(data, tmp_path, strace):
    with Millrace(data, "--scrub-bytes-per-second", 0) as server:
        topic = fill_sealed(server, 4)
        assert server.terminate() == 0
    fourth = judges.segments(data, topic["topicId"])[0][3]
    # It comes there in three seconds.
    with Millrace(data, "--scrub-bytes-per-second", 61_000) as server:
        with injecting(server, "openat", "error=EMFILE:when=1", tmp_path / "trace", fourth) as has_failed:
            until(has_failed, 30)
        assert "failure" not in server.get("/v1/topics/t").json["partitions"][0]
        assert server.append("t", ["on"])[0]["offset"] == 300
        assert len(server.read_all("t")) == 301
