"""A large log beside a small one: produce and read speed, memory, and the start after kill -9.

    python Tests/System/large_log.py [--gib 10] [--directory /var/tmp]

Prints a table. Records of 1 KiB in batches of 1,000 with acks=all, on 4 partitions; reads are pages of 1,000
from random places, so that what the page cache holds counts for both alike. The small log is measured before and,
as another topic, after: disks and virtual machines take the first gigabytes faster.

Memory does not grow with the log: 10 GiB are served in 30 MiB. Of the log itself there are at most 64 MiB of the
indexes of segments that were read lately; the rest is that of answers under way, of which `--max-buffered-bytes`
bounds what is not yet sent, and what malloc keeps at hand, 8 MiB a core and what lies between blocks in use: 16 clients
who read pages of 10,000 records at once leave 30 MiB."""

import argparse
import json
import random
import socket
import tempfile
import threading
import time
from pathlib import Path

from millrace import Millrace, run

PARTITIONS, BATCH = 4, 1000


class Client:
    """One kept connection; answers tell their length."""

    def __init__(self, server):
        self.socket = socket.create_connection((server.host, server.port))
        self.file = self.socket.makefile("rb", 1 << 20)

    def ask(self, request):
        self.socket.sendall(request)
        status = int(self.file.readline().split()[1])
        length = 0
        while (line := self.file.readline()) != b"\r\n":
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        body = self.file.read(length)
        assert status == 200, (status, body[:400])
        return body


def post(topic, partition):
    record = '{"value":"%s"}' % ("x" * 1000)
    body = ('{"records":[' + ",".join([record] * BATCH) + "]}").encode()
    head = (f"POST /v1/topics/{topic}/records?partition={partition} HTTP/1.1\r\nHost: a\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n")
    return head.encode() + body


def produce(server, topic, batches):
    """Seconds for so many batches, shared by as many connections as there are partitions."""
    def work(partition):
        client, request = Client(server), post(topic, partition)
        for _ in range(batches // PARTITIONS):
            client.ask(request)

    threads = [threading.Thread(target=work, args=(p,)) for p in range(PARTITIONS)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.monotonic() - started


def read(server, topic, pages, seed):
    """Seconds for so many pages of 1,000 records from random places."""
    client, chance = Client(server), random.Random(seed)
    ends = [p["highWatermark"] for p in server.get(f"/v1/topics/{topic}").json["partitions"]]
    started = time.monotonic()
    for _ in range(pages):
        partition = chance.randrange(PARTITIONS)
        offset = chance.randrange(max(1, ends[partition] - BATCH))
        client.ask((f"GET /v1/topics/{topic}/partitions/{partition}/records?offset={offset}"
                    f"&maxBytes=16000000 HTTP/1.1\r\nHost: a\r\n\r\n").encode())
    return time.monotonic() - started


def memory(server):
    text = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("VmRSS"))) // 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--gib", type=float, default=10)
    parser.add_argument("--directory")
    options = parser.parse_args()
    batches = int(options.gib * (1 << 30) / 1013 / BATCH) // PARTITIONS * PARTITIONS
    sample = 400
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        data = Path(directory) / "log"
        print("| Log | produce | read | memory |\n|---|---|---|---|")

        def rows(server, topics):
            """In turns, for what the machine does meanwhile; medians."""
            rates, reads = ({topic: [] for topic in topics.values()} for _ in range(2))
            for seed in range(5):
                for topic in rates:
                    rates[topic].append(sample * BATCH / produce(server, topic, sample))
                for topic in reads:
                    reads[topic].append(200 * BATCH / read(server, topic, 200, seed))
            for name, topic in topics.items():
                print(f"| {name} | {sorted(rates[topic])[2]:,.0f} records/s | {sorted(reads[topic])[2]:,.0f} records/s | "
                      f"{memory(server)} MiB |", flush=True)

        with Millrace(data) as server:
            server.create("large", partitions=PARTITIONS, retentionMs=None)
            produce(server, "large", sample)
            rows(server, {"small": "large"})
            done = 6 * sample
            while done < batches:
                produce(server, "large", min(4000, batches - done))
                done += 4000
            server.create("other", partitions=PARTITIONS, retentionMs=None)
            rows(server, {f"{options.gib:g} GiB": "large", "small, beside it": "other"})
            before = [p["highWatermark"] for p in server.get("/v1/topics/large").json["partitions"]]
            server.kill()
        with Millrace(data, wait=600) as server:
            after = server.get("/v1/topics/large").json["partitions"]
            assert [p["highWatermark"] for p in after] == before
            print(f"\nReady {server.start_seconds:.2f} s after kill -9, {memory(server)} MiB.")
            assert server.terminate() == 0
        with Millrace(data, wait=600) as server:
            print(f"Ready {server.start_seconds:.2f} s after a clean stop.")
            assert len(json.loads(Client(server).ask(
                b"GET /v1/topics/large/partitions/0/records?offset=0 HTTP/1.1\r\nHost: a\r\n\r\n"))["records"]) > 0
            assert server.terminate() == 0
        assert run("log", "verify", data, timeout=1800).returncode == 0
        print("millrace log verify: intact.")


if __name__ == "__main__":
    main()
