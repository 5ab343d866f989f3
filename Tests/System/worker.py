"""One member of a consumer group as a process of its own, for test_group_chaos.py.

    worker.py PORT GROUP TOPIC JOURNAL SESSION_MS [MEMBER_ID]

A plain loop over http.client: join, poll, "process", commit with the next poll; anything that fails
is tried again. What it does is in the journal, a JSON line each, with the time of the machine's
monotonic clock, which all processes share:

    {"at":…, "processed":[[partition, offset, value], …], "epoch":…, "member":…,
     "asked":…, "received":…}                              when the poll that brought them was sent
    {"at":…, "committed":{"partition": nextOffset, …}}     the answer to a poll that carried it came
"""

import http.client
import json
import os
import random
import sys
import time

PORT, GROUP, TOPIC, JOURNAL, SESSION = sys.argv[1:6]
NAME = sys.argv[6] if len(sys.argv) > 6 else None
BASE = f"/v1/groups/{GROUP}/members"


class Gone(Exception):
    """The member is no longer one: join again."""


class Worker:
    def __init__(self):
        self.journal = os.open(JOURNAL, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.connection = None
        self.random = random.Random(JOURNAL)

    def note(self, **what):
        line = json.dumps({"at": time.monotonic(), **what}) + "\n"
        os.write(self.journal, line.encode())

    def ask(self, path, body):
        """The answer's status and document; None where no answer came."""
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection("127.0.0.1", int(PORT), timeout=10)
            self.connection.request("POST", path, json.dumps(body))
            answer = self.connection.getresponse()
            document = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError):
            self.connection = None
            time.sleep(0.05)
            return None
        if answer.status in (503, 429):
            time.sleep(0.05)
            return None
        return answer.status, document

    def join(self):
        body = {"topics": [TOPIC], "sessionTimeoutMs": int(SESSION), "rebalanceTimeoutMs": 5000}
        if NAME:
            body["memberId"] = NAME
        while not (answer := self.ask(BASE, body)):
            pass
        assert answer[0] == 201, answer
        return answer[1]["memberId"], answer[1]["memberEpoch"]

    def poll(self, member, epoch, commit):
        """Until there is an answer: the same again, or with the epoch that a lost one brought."""
        while True:
            body = {"memberEpoch": epoch, "waitMs": 500, "maxRecords": self.random.choice((7, 40, 150))}
            if commit:
                body["commit"] = commit
            self.asked = time.monotonic()
            if not (answer := self.ask(f"{BASE}/{member}/poll", body)):
                continue
            self.received = time.monotonic()
            status, document = answer
            if status == 200:
                return document
            if document["code"] == "fenced-member-epoch":
                epoch = document["memberEpoch"]
            elif document["code"] in ("fenced-instance-id", "unknown-member"):
                raise Gone
            elif document["code"] != "superseded-poll":
                self.note(unexpected=document, commit=commit)
                raise Gone

    def run(self):
        while True:
            member, epoch = self.join()
            commit = ""
            try:
                while True:
                    page = self.poll(member, epoch, commit)
                    if commit:
                        entries = (e.rpartition("/")[2].split(":") for e in commit.partition("~")[0].split(","))
                        self.note(committed={p: int(o) for p, o in entries})
                    epoch, commit = page["memberEpoch"], page["cursor"]
                    if page["records"]:
                        self.process(page["records"], epoch, member)
            except Gone:
                pass

    def process(self, records, epoch, member):
        time.sleep(self.random.random() * 0.02)
        self.note(
            processed=[[r["partition"], r["offset"], r["value"]] for r in records],
            epoch=epoch, member=member, asked=self.asked, received=self.received)


Worker().run()
