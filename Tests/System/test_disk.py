"""A full disk and a failing one (RELIABILITY.md faults 8, 9, 12; pitfalls 2, 23, 24)."""

import os
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import judges
from millrace import Millrace, until


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("no right to mount a small file system here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(server, size=100_000):
    """Appends until it is refused; what was acknowledged, and the refusal."""
    acknowledged = 0
    while True:
        answer = server.produce("t", ["x" * size])
        if answer.status != 200:
            return acknowledged, answer
        acknowledged += 1
        assert acknowledged < 1000


def test_a_full_disk_is_507_reads_go_on_and_writing_comes_back_with_space(small_disk):
    """Pitfall 23."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\0" * 1_000_000)
    with Millrace(small_disk / "log") as server:
        server.create("t")
        acknowledged, refused = fill(server)
        assert (refused.status, refused.code) == (507, "storage-full"), refused
        assert refused.json["retryable"] is True
        assert acknowledged > 5
        for _ in range(3):
            assert server.produce("t", ["y" * 100_000]).code == "storage-full"
        assert [r["offset"] for r in server.read_all("t")] == list(range(acknowledged))
        topics = server.put("/v1/topics/another", json={"partitions": 50})
        assert topics.status in (201, 507), topics
        ballast.unlink()
        place = server.append("t", ["after"])[0]
        assert place["offset"] == acknowledged, "a refused record took no offset"
        server.kill()
    with Millrace(small_disk / "log") as server:
        values = [r["value"] for r in server.read_all("t")]
        assert len(values) == acknowledged + 1 and values[-1] == "after"
        assert not [v for v in values if v.startswith("y")], "what was answered 507 is absent"


def test_a_full_disk_refuses_a_commit_and_keeps_the_old_one(small_disk):
    ballast = small_disk / "ballast"
    with Millrace(small_disk / "log") as server:
        server.create("t")
        server.append("t", [1, 2, 3])
        body = lambda offset: {"offsets": [
            {"topic": "t", "partition": 0, "offset": offset, "metadata": "m" * 4000}]}
        assert server.post("/v1/groups/g/offsets", json=body(1)).status == 204
        with open(ballast, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * 4096)
            except OSError:
                pass
        refused = until(lambda: (a := server.post("/v1/groups/g/offsets", json=body(2))).status >= 400 and a)
        assert refused.code == "storage-full"
        kept = server.get("/v1/groups/g/offsets").json["offsets"][0]["offset"]
        ballast.unlink()
        assert server.post("/v1/groups/g/offsets", json=body(3)).status == 204
        assert kept in (1, 2)


@pytest.fixture
def strace():
    """Whether strace can trace a child here."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    probe = ["strace", "-f", "-e", "trace=fdatasync", "-o", "/dev/null", "true"]
    if subprocess.run(probe, capture_output=True).returncode != 0:
        pytest.skip("no right to trace a process here")


def faulty(data, trace, fault=None, path=None):
    """A server whose fdatasync calls are traced, those on `path` alone if given, and fail as `fault` says."""
    wrapper = ["strace", "-f", "-qq", "-e", "trace=fdatasync", "-o", str(trace)]
    wrapper += ["-P", str(path)] if path else []
    wrapper += ["-e", f"inject=fdatasync:{fault}"] if fault else []
    return Millrace(data, wrapper=wrapper, wait=60)


def last_segment(data, topic):
    """The file that the partition 0 of a topic appends to."""
    return judges.segments(data, topic["topicId"])[0][-1]


def stop_traced(server):
    """Ends the traced program itself; strace follows it."""
    children = f"/proc/{server.process.pid}/task/{server.process.pid}/children"
    for pid in open(children).read().split():
        os.kill(int(pid), 9)
    server.process.wait(20)


def test_a_failed_sync_is_never_acknowledged_and_never_tried_again(data, tmp_path, strace):
    """Pitfall 2: fsync errors retried or swallowed. R4."""
    with Millrace(data) as server:
        topic = server.create("bad")
        server.append("bad", ["before"])
        server.terminate()
    trace = tmp_path / "trace"
    with faulty(data, trace, "error=EIO", last_segment(data, topic)) as server:
        try:
            started = time.monotonic()
            refused = server.produce("bad", ["doubtful"])
            assert (refused.status, refused.code) == (503, "partition-failed"), refused
            assert refused.json["retryable"] is False
            assert time.monotonic() - started < 5
            synced = trace.read_text().count("fdatasync(")
            for _ in range(5):
                assert server.produce("bad", ["later"]).code == "partition-failed"
                assert server.produce("bad", ["later"], "?acks=leader").code == "partition-failed"
            assert trace.read_text().count("fdatasync(") == synced, "no sync over the same pages again"
            assert [r["value"] for r in server.page("bad")["records"]] == ["before"]
            described = server.get("/v1/topics/bad").json["partitions"][0]
            assert described["failure"]
            assert server.get("/livez").status == 200
        finally:
            stop_traced(server)
    with Millrace(data) as server:
        values = [r["value"] for r in server.read_all("bad")]
        assert values in (["before"], ["before", "doubtful"]), "unknown until restart, and then one of two"
        place = server.append("bad", ["after"])[0]
        assert place["offset"] == len(values)


def test_a_failed_sync_fails_only_its_partition(data, tmp_path, strace):
    with Millrace(data) as server:
        topic = server.create("one")
        server.create("two")
        server.append("one", [1])
        server.append("two", [1])
        server.terminate()
    with faulty(data, tmp_path / "trace", "error=EIO", last_segment(data, topic)) as server:
        try:
            assert server.produce("one", [2]).code == "partition-failed"
            assert server.append("two", [2])[0]["offset"] == 1
            assert server.produce("one", [3]).code == "partition-failed"
        finally:
            stop_traced(server)


def test_a_slow_sync_of_one_partition_does_not_hold_up_reads(data, tmp_path, strace):
    """Pitfall 30: fsync under a lock that readers need."""
    with Millrace(data) as server:
        topic = server.create("slow")
        server.append("slow", [1, 2, 3])
        server.terminate()
    slow = "delay_enter=3000000"
    with faulty(data, tmp_path / "trace", slow, last_segment(data, topic)) as server:
        try:
            with ThreadPoolExecutor() as pool:
                writing = pool.submit(server.produce, "slow", [4])
                time.sleep(0.5)
                started = time.monotonic()
                assert len(server.page("slow")["records"]) == 3, "what is not durable is not shown"
                assert server.get("/v1/topics/slow").status == 200
                assert server.produce("slow", [5], "?acks=leader").status == 200
                assert time.monotonic() - started < 2 and not writing.done()
                assert writing.result(timeout=30).status == 200
        finally:
            stop_traced(server)


def test_every_acknowledged_produce_was_synced_first(data, tmp_path, strace):
    """Pitfall 1 by the golden trace: no fdatasync, no acknowledgement."""
    trace = tmp_path / "trace"
    with faulty(data, trace) as server:
        try:
            server.create("t")
            for number in range(5):
                before = trace.read_text().count("fdatasync(")
                server.append("t", [number])
                assert trace.read_text().count("fdatasync(") > before
        finally:
            stop_traced(server)
