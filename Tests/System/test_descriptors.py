"""2,000 partitions of several segments within 4,096 descriptors, on the real program (pitfall 28)."""

import base64
import os
import socket

from millrace import Millrace

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
