"""Who waits for records, in numbers: wake-ups that race, and streams that are read slowly."""

import http.client
import json
import re
import select
import socket
import threading

import requests

from groups import Member
from millrace import Millrace


JSON = {"Content-Type": "application/json"}


class Waiter(threading.Thread):
    """A long-poll behind the other; each must bring exactly the next record."""

    def __init__(self, server, ask, arrived):
        super().__init__(daemon=True)
        self.connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
        self.ask, self.arrived, self.seen, self.error = ask, arrived, [], None
        self.start()

    def run(self):
        try:
            answer = {}
            while True:
                method, path, body = self.ask(answer)
                self.connection.request(method, path, body, JSON)
                answer = json.loads(self.connection.getresponse().read())
                self.seen += [record["value"] for record in answer["records"]]
                if answer["records"]:
                    self.arrived.release()
        except Exception as error:
            self.error = error
            self.arrived.release()


def test_of_thousands_of_races_between_append_and_wait_none_is_lost(data):
    """Pitfall 47: an append between the look and the wait. A lost wake-up ends the poll empty or late."""
    rounds = 2000
    with Millrace(data) as server:
        server.create("t")
        member = Member(server, "g", "t")

        def poll(last):
            body = {"memberEpoch": member.epoch, "waitMs": 50_000, "commit": last.get("cursor", "")}
            return "POST", member.path + "/poll", json.dumps(body)

        arrived = threading.Semaphore(0)
        waiters = [
            Waiter(server, lambda last: (
                "GET", f"/v1/topics/t/records?cursor={last.get('cursor', '0:0')}&waitMs=50000", None), arrived),
            Waiter(server, lambda last: (
                "GET", "/v1/topics/t/partitions/0/records?waitMs=50000&offset="
                + str(last["records"][-1]["offset"] + 1 if last else 0), None), arrived),
            Waiter(server, poll, arrived),
        ]
        producer = http.client.HTTPConnection(server.host, server.port, timeout=60)
        for number in range(rounds):
            # While the last answers are on their way and the next polls come: no pause at all.
            body = json.dumps({"records": [{"value": number}]})
            producer.request("POST", "/v1/topics/t/records", body, JSON)
            assert producer.getresponse().read().startswith(b'{"offsets"')
            for _ in waiters:
                # Less than the poll's own deadline, which would hide it.
                assert arrived.acquire(timeout=20), (number, [w.seen[-1:] for w in waiters])
        for waiter in waiters:
            assert waiter.error is None and waiter.seen == list(range(rounds)), waiter.error


class Streams:
    """Streams of server-sent events that take a little at a time, each from where it was cut."""

    def __init__(self, server, topic, count):
        self.server, self.topic = server, topic
        self.poll, self.open = select.epoll(), {}
        self.next, self.rest, self.cuts = [0] * count, [b""] * count, 0
        for number in range(count):
            self.connect(number)

    def connect(self, number):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        client.settimeout(30)
        client.connect((self.server.host, self.server.port))
        client.sendall((
            f"GET /v1/topics/{self.topic}/records?from=earliest HTTP/1.1\r\nHost: a\r\n"
            f"Accept: text/event-stream\r\nLast-Event-ID: 0:{self.next[number]}\r\n\r\n").encode())
        self.open[client.fileno()] = (client, number)
        self.rest[number] = b""
        self.poll.register(client, select.EPOLLIN)

    def turn(self, end):
        """Each that has something takes 16 KiB of it at most; who has seen all is closed."""
        for descriptor, _ in self.poll.poll(0.2):
            client, number = self.open[descriptor]
            try:
                piece = client.recv(16384)
            except ConnectionError:
                piece = b""
            text = self.rest[number] + piece
            for found in re.finditer(rb'"offset":(\d+),[^\n]*\n', text):
                assert int(found[1]) == self.next[number], f"stream {number} missed records"
                self.next[number] += 1
            self.rest[number] = text[text.rfind(b"\n") + 1:]
            if not piece or self.next[number] == end:
                self.poll.unregister(client)
                del self.open[descriptor]
                client.close()
                if self.next[number] < end:
                    self.cuts += 1
                    self.connect(number)


def test_a_thousand_slow_streams_beside_a_fast_producer_miss_nothing(data):
    """Pitfall 48: starved streams lose events (etcd #17529)."""
    count, batches = 1000, 80
    with Millrace(data) as server:
        server.create("t")
        streams = Streams(server, "t", count)

        def produce():
            with requests.Session() as session:
                for _ in range(batches):
                    records = [{"value": "x" * 1000}] * 10
                    answer = session.post(server.base + "/v1/topics/t/records", json={"records": records})
                    assert answer.status_code == 200

        producer = threading.Thread(target=produce)
        producer.start()
        while streams.open:
            streams.turn(batches * 10)
        producer.join()
        assert streams.next == [batches * 10] * count


def test_a_stream_from_beyond_the_end_is_416_and_brings_nothing_older(data):
    """Pitfall 48: who subscribes at a future offset gets old data (etcd #20221)."""
    with Millrace(data) as server:
        server.create("t")
        server.append("t", list(range(10)))
        for path in ("/v1/topics/t/records?cursor=0:110", "/v1/topics/t/partitions/0/records?offset=110"):
            for accept in ("text/event-stream", "application/x-ndjson", "application/json"):
                answer = server.get(path, headers={"Accept": accept})
                assert (answer.status, answer.code) == (416, "offset-out-of-range")
                assert answer.json["latestOffset"] == 10
        # At the end itself it waits, and brings only what comes.
        with server.stream("/v1/topics/t/records?cursor=0:10", "application/x-ndjson") as stream:
            lines = (json.loads(line) for line in stream.iter_lines())
            assert "cursor" in next(lines)
            server.append("t", ["new"])
            assert next(line for line in lines if "offset" in line)["value"] == "new"
