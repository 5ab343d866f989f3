"""Power cuts (RELIABILITY.md R3): ext4 in an image, copied at one moment while 16 connections write to
it, mounted, and served from. An XFS below the image makes the copy one moment's (reflink); what the
kernel had not yet written to the image is lost, as it would be with the power.

MILLRACE_POWER_CUTS is the number of cuts, five to a file system, 5 if unset. Whatever was acknowledged before a cut is there
after it: records, topics and committed offsets. kafka-python and librdkafka judge what is on disk.
"""

import copy
import os
import random
import shutil
import subprocess
import threading
import time
from itertools import count

import pytest
import requests

import judges
from millrace import Millrace
from test_kill import read_partition

CUTS = 5
ROUNDS = -(-int(os.environ.get("MILLRACE_POWER_CUTS", "5")) // CUTS)
CONNECTIONS = 16
PARTITIONS = 2


def run(*command):
    subprocess.run(command, check=True, capture_output=True, timeout=60)


class Disks:
    """Images and where they are mounted, all below one directory."""

    def __init__(self, directory):
        self.directory = directory
        self.mounts = []

    def mount(self, image, *options):
        at = self.directory / f"{image.name}.mounted"
        at.mkdir(exist_ok=True)
        run("mount", "-o", ",".join(["loop", *options]), str(image), str(at))
        self.mounts.append(at)
        return at

    def unmount(self, at):
        run("umount", str(at))
        self.mounts.remove(at)

    def close(self):
        for at in reversed(self.mounts):
            subprocess.run(["umount", "-l", str(at)], capture_output=True, timeout=60)


@pytest.fixture
def disks(tmp_path):
    if os.geteuid() != 0 or not shutil.which("mkfs.xfs") or not shutil.which("mkfs.ext4"):
        pytest.skip("needs root, mkfs.xfs and mkfs.ext4")
    disks = Disks(tmp_path)
    try:
        image = tmp_path / "below.xfs"
        run("truncate", "-s", "1G", str(image))
        run("mkfs.xfs", "-q", "-m", "reflink=1", str(image))
        try:
            disks.below = disks.mount(image)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"loop mounts are not allowed here: {error.stderr.decode().strip()}")
        yield disks
    finally:
        disks.close()


class Writers:
    """Connections that append, make topics and commit offsets until they are told to stop."""

    def __init__(self, server):
        self.server = server
        self.records, self.topics, self.commits = [], [], []  # in the order of their answers
        self.problems = []
        self.ends = False
        work = [self._produce] * CONNECTIONS + [self._create, self._commit]
        self.threads = [
            threading.Thread(target=self._run, args=(task, n)) for n, task in enumerate(work)
        ]
        for thread in self.threads:
            thread.start()

    def acknowledged(self):
        return len(self.records), len(self.topics), len(self.commits)

    def stop(self):
        self.ends = True
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive()
        assert self.problems == []

    def _run(self, task, number):
        client = copy.copy(self.server)
        client.session = requests.Session()
        client.session.trust_env = False
        try:
            for turn in count():
                if self.ends:
                    return
                task(client, number, turn)
        except Exception as error:  # Told by the test, which would not see a thread's.
            self.problems.append(repr(error))

    def _produce(self, client, number, turn):
        values = [f"{number}-{turn}-{n}" + "x" * (number * 40) for n in range(1 + number % 3)]
        places = client.append("t", [{"key": v, "value": v} for v in values])
        for value, place in zip(values, places):
            self.records.append((place["partition"], place["offset"], value))
        # All of it is judged after each cut.
        time.sleep(0.02)

    def _create(self, client, number, turn):
        client.create(f"made-{turn}", segmentBytes=1 << 16)
        self.topics.append(f"made-{turn}")
        time.sleep(0.2)

    def _commit(self, client, number, turn):
        answer = client.post("/v1/groups/g/offsets", json={"topic": "t", "cursor": f"0:{turn}"})
        assert answer.status == 204, answer
        self.commits.append(turn)
        time.sleep(0.005)


@pytest.mark.parametrize("number", range(ROUNDS))
def test_what_was_acknowledged_before_a_power_cut_is_there_after_it(disks, number):
    """Pitfalls 1, 4, 5, 7 and 9 on a real file system."""
    chance = random.Random(number)
    live = disks.below / "live.ext4"
    run("truncate", "-s", "256M", str(live))
    run("mkfs.ext4", "-q", str(live))
    at = disks.mount(live, chance.choice(["data=ordered", "data=writeback"]))
    with Millrace(at / "log") as server:
        topic_id = server.create("t", partitions=PARTITIONS, segmentBytes=1 << 16)["topicId"]
        writers = Writers(server)
        for cut_number in range(CUTS):
            time.sleep(0.2 + chance.random() / 2)
            acknowledged = writers.acknowledged()
            cut = disks.below / f"cut-{cut_number}.ext4"
            run("cp", "--reflink=always", str(live), str(cut))
            check(disks, cut, topic_id, writers, acknowledged)
        writers.stop()
        assert server.terminate() == 0
    disks.unmount(at)
    assert min(writers.acknowledged()) > CUTS


def check(disks, image, topic_id, writers, acknowledged):
    at = disks.mount(image)
    records, topics, commits = acknowledged
    with Millrace(at / "log") as server:
        found = [
            {r["offset"]: r["value"] for r in read_partition(server, partition, 0)}
            for partition in range(PARTITIONS)
        ]
        for partition, offset, value in writers.records[:records]:
            assert found[partition].get(offset) == value, f"lost: {partition}:{offset}"
        for offsets in found:
            assert sorted(offsets) == list(range(len(offsets))), "offsets are dense"
        names = {topic["name"] for topic in server.get("/v1/topics").json["topics"]}
        assert set(writers.topics[:topics]) <= names
        if commits:
            offsets = server.get("/v1/groups/g/offsets").json["offsets"]
            assert offsets[0]["offset"] >= writers.commits[commits - 1]
        assert "writes are refused" not in server.log()
        server.append("t", [{"key": "after", "value": "after"}])
        assert server.terminate() == 0
    logs = judges.segments(at / "log", topic_id)
    judged = [sum(len(judges.judge(log)) for log in partition) for partition in logs]
    assert sum(judged) == sum(len(offsets) for offsets in found) + 1
    for partition, wanted in zip(logs, judged):
        assert len(judges.librdkafka(partition)) == wanted
    disks.unmount(at)
    image.unlink()
