"""Figures of a large log beside a small one, through the running server:

    MILLRACE_BINARY=.build/release/millrace python Tests/System/measure_big_log.py [--gib 10] [--data DIR]

Fills a topic over HTTP, kills the server with -9, starts it again, and prints how long the unclean
start took, and produce and read rates and memory on the large log and on one of 64 MiB. The client
is the same for both, so that its own cost does not tell them apart. Not collected by pytest.
"""

import argparse
import http.client
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from millrace import Millrace

FILL_RECORD, FILL_RECORDS = 100_000, 80
BATCH, BATCHES, PAGES, PAGE, ROUNDS = 100, 150, 60, 1000, 5
JSON = {"Content-Type": "application/json"}


def body(count, byte_count):
    records = [{"key": f"k{n}", "value": "x" * byte_count} for n in range(count)]
    return json.dumps({"records": records}).encode()


class Client:
    def __init__(self, server):
        self.connection = http.client.HTTPConnection(server.host, server.port, timeout=120)

    def call(self, method, path, body=None):
        self.connection.request(method, path, body, JSON if body else {})
        answer = self.connection.getresponse()
        data = answer.read()
        assert answer.status == 200, (answer.status, data[:300])
        return data


def rss_mib(server):
    for line in open(f"/proc/{server.process.pid}/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1]) // 1024


def fill(server, topic, byte_count):
    """Appends until the topic has so many bytes; the seconds it took."""
    client, part, started, sent = Client(server), body(FILL_RECORDS, FILL_RECORD), time.monotonic(), 0
    while sent < byte_count:
        client.call("POST", f"/v1/topics/{topic}/records?acks=leader", part)
        sent += FILL_RECORDS * FILL_RECORD
    client.call("POST", f"/v1/topics/{topic}/records", body(1, 10))
    return time.monotonic() - started


def produce_rate(server, topic):
    """Records a second: batches of 100 records of 1 KiB, acks=all, one connection."""
    client, part, started = Client(server), body(BATCH, 1024), time.monotonic()
    for _ in range(BATCHES):
        client.call("POST", f"/v1/topics/{topic}/records", part)
    return BATCH * BATCHES / (time.monotonic() - started)


def read_rate(server, topic):
    """Records a second: pages of 1,000 of those last appended."""
    client = Client(server)
    path = f"/v1/topics/{topic}/partitions/0/records?maxBytes=8388608&maxRecords={PAGE}"
    end = server.get(f"/v1/topics/{topic}").json["partitions"][0]["highWatermark"]
    offset, started, count = end - BATCH * BATCHES, time.monotonic(), 0
    for _ in range(min(PAGES, BATCH * BATCHES // PAGE)):
        client.call("GET", f"{path}&offset={offset}")
        offset, count = offset + PAGE, count + PAGE
    return count / (time.monotonic() - started)


def scattered_read_ms(server, topic):
    """Median milliseconds of one record at places all over the log."""
    client, took = Client(server), []
    end = server.get(f"/v1/topics/{topic}").json["partitions"][0]["highWatermark"]
    for number in range(200):
        offset, started = number * 7919 % end, time.monotonic()
        client.call("GET", f"/v1/topics/{topic}/partitions/0/records?offset={offset}&maxRecords=1")
        took.append((time.monotonic() - started) * 1000)
    return statistics.median(took)


def say(text):
    print(text, flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gib", type=float, default=10)
    parser.add_argument("--data", help="a directory that is made and removed")
    arguments = parser.parse_args()
    data = Path(arguments.data or tempfile.mkdtemp(prefix="millrace-big-")) / "log"
    data.parent.mkdir(parents=True, exist_ok=True)
    try:
        measure(data, arguments.gib)
    finally:
        shutil.rmtree(data.parent, ignore_errors=True)


def measure(data, gib):
    with Millrace(data) as server:
        for topic in ("small", "big"):
            server.create(topic, retentionMs=None)
        fill(server, "small", 64 << 20)
        took = fill(server, "big", int(gib * (1 << 30)))
        say(f"filled {gib:g} GiB in {took:.0f} s ({gib * 1024 / took:.0f} MiB/s), RSS {rss_mib(server)} MiB")
        server.kill()
    with Millrace(data, wait=300) as server:
        say(f"unclean start {server.start_seconds:.2f} s, RSS {rss_mib(server)} MiB")
        rates = {topic: {"produce": [], "read": []} for topic in ("small", "big")}
        for _ in range(ROUNDS):
            for topic in ("small", "big"):
                rates[topic]["produce"].append(produce_rate(server, topic))
                rates[topic]["read"].append(read_rate(server, topic))
        for work in ("produce", "read"):
            small, big = (statistics.median(rates[topic][work]) for topic in ("small", "big"))
            say(f"{work}: small {small:,.0f} records/s, big {big:,.0f} ({big / small:.2f} of it)")
        for topic in ("small", "big"):
            say(f"one record anywhere, {topic}: {scattered_read_ms(server, topic):.2f} ms (median)")
        say(f"RSS after that {rss_mib(server)} MiB")
        assert server.terminate(120) == 0
    with Millrace(data, wait=300) as server:
        say(f"clean start {server.start_seconds:.2f} s, RSS {rss_mib(server)} MiB")


if __name__ == "__main__":
    main()
