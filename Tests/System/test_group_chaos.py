"""Members as processes that are killed, paused and started, and a server that is killed with -9."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from groups import describe, offsets
from millrace import Millrace, until

PARTITIONS, RECORDS, SESSION = 12, 10_000, 1500
WORKER = Path(__file__).with_name("worker.py")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Chaos:
    """Four members; each of them, and the server, meets its accidents as the seed says."""

    def __init__(self, data, seed):
        self.data, self.random = data, random.Random(seed)
        self.port = free_port()
        self.journals, self.workers = [], {}
        self.server = self.serve()

    def serve(self):
        return Millrace(self.data, listen=f"127.0.0.1:{self.port}")

    def start(self, slot):
        journal = self.data.parent / f"journal-{len(self.journals)}"
        self.journals.append(journal)
        # Two of them are static and come back under their name.
        name = [f"static-{slot}"] if slot < 2 else []
        self.workers[slot] = subprocess.Popen(
            [sys.executable, str(WORKER), str(self.port), "g", "t", str(journal), str(SESSION), *name],
            stderr=open(f"{journal}.stderr", "wb"))

    def accident(self):
        kind = self.random.choice(("kill", "kill", "short pause", "long pause", "server", "all"))
        slot = self.random.randrange(4)
        if kind == "kill":
            self.end(slot)
            time.sleep(self.random.choice((0, 0, 0.5, 2.5)))
            self.start(slot)
        elif kind.endswith("pause"):
            worker = self.workers[slot]
            worker.send_signal(signal.SIGSTOP)
            time.sleep(0.5 if kind == "short pause" else SESSION / 1000 + 1)
            if kind == "long pause" and slot < 2 and self.random.random() < 0.5:
                # Another process takes the name while this one sleeps, then both are awake.
                self.start(slot)
                time.sleep(0.5)
                worker.send_signal(signal.SIGCONT)
                time.sleep(0.5)
                worker.kill()
                worker.wait()
            else:
                worker.send_signal(signal.SIGCONT)
        else:
            self.server.kill()
            if kind == "all":
                self.end(slot)
                self.start(slot)
            time.sleep(self.random.choice((0, 0.3, SESSION / 1000 + 0.5)))
            self.server = self.serve()

    def end(self, slot):
        self.workers[slot].kill()
        self.workers[slot].wait()

    def close(self):
        for slot in self.workers:
            if self.workers[slot].poll() is None:
                self.end(slot)

    def history(self):
        """All journals as one list in time; each entry knows whose it is."""
        entries = []
        for index, journal in enumerate(self.journals):
            if not journal.exists():
                continue
            for line in journal.read_bytes().split(b"\n"):
                try:
                    entries.append({"process": index, **json.loads(line)})
                except ValueError:
                    continue  # The last line of one that was killed.
        return sorted(entries, key=lambda e: e["at"])


def judge(history):
    """The number of duplicates; fails where the promises are broken."""
    deliveries, commits, seen = [], [[] for _ in range(PARTITIONS)], {}
    for entry in history:
        assert "unexpected" not in entry, entry
        for partition, offset in entry.get("committed", {}).items():
            commits[int(partition)].append((entry["at"], offset))
        if "processed" in entry:
            deliveries.append(entry)
            for partition, offset, value in entry["processed"]:
                assert seen.setdefault((partition, offset), value) == value
    assert sorted(seen.values()) == list(range(RECORDS)), "a record was never processed"
    for entry in deliveries:
        for partition, offset, _ in entry["processed"]:
            # Whatever was committed when the poll was sent is not delivered again.
            known = max((o for at, o in commits[partition] if at < entry["asked"]), default=0)
            assert offset >= known, (entry["member"], partition, offset, known)
    for partition in range(PARTITIONS):
        check_owners([d for d in deliveries if any(p == partition for p, *_ in d["processed"])])
    return sum(len(d["processed"]) for d in deliveries) - RECORDS


def check_owners(deliveries):
    """Epochs of a group only grow, and no two members have the same: once another was given the
    partition, an owner of before gets nothing of it any more."""
    members = {}
    highest, reached = 0, sorted(deliveries, key=lambda d: d["received"])
    for delivery in sorted(deliveries, key=lambda d: d["asked"]):
        assert members.setdefault(delivery["epoch"], delivery["member"]) == delivery["member"]
        while reached and reached[0]["received"] < delivery["asked"]:
            highest = max(highest, reached.pop(0)["epoch"])
        assert delivery["epoch"] >= highest, (delivery["member"], delivery["epoch"], highest)


def test_members_and_the_server_are_killed_paused_and_started(data):
    """Pitfalls 32, 37 and 39 on real processes. 4 members, 12 partitions, 10,000 records."""
    seed = int(os.environ.get("MILLRACE_CHAOS_SEED", time.time_ns() % 1_000_000))
    seconds = float(os.environ.get("MILLRACE_CHAOS_SECONDS", 30))
    print(f"MILLRACE_CHAOS_SEED={seed}")
    chaos = Chaos(data, seed)
    try:
        chaos.server.create("t", partitions=PARTITIONS)
        for slot in range(4):
            chaos.start(slot)
        started, produced, restarts = time.monotonic(), 0, 0
        while time.monotonic() - started < seconds or produced < RECORDS:
            due = min(RECORDS, int(RECORDS * (time.monotonic() - started) / seconds * 1.2))
            if due > produced:
                chaos.server.append("t", [
                    {"value": n, "partition": n % PARTITIONS} for n in range(produced, due)])
                produced = due
            before = chaos.server
            chaos.accident()
            restarts += chaos.server is not before
        end = {p: len(range(p, RECORDS, PARTITIONS)) for p in range(PARTITIONS)}

        def finished():
            now = offsets(chaos.server, "g")
            return {p: o["offset"] for (_, p), o in now.items()} == end
        until(finished, 60)
        # A killed member stays for its session, and one that was paused has to join again: behind
        # that the four that live are all there are, and each has its share.
        time.sleep(SESSION / 1000 + 1)

        def shared_out():
            group = describe(chaos.server, "g")
            owners = [o["owner"] for o in offsets(chaos.server, "g").values()]
            members = list(group["members"]) if group["state"] == "stable" else []
            return len(members) == 4 and sorted(map(owners.count, members)) == [3, 3, 3, 3]
        until(shared_out, 10)
        assert all(o["lag"] == 0 for o in offsets(chaos.server, "g").values())
    finally:
        chaos.close()
        chaos.server.__exit__()
    duplicates = judge(chaos.history())
    print(f"{restarts} restarts of the server, {len(chaos.journals)} processes, {duplicates} duplicates")
