"""A full disk and a failing one (RELIABILITY.md faults 8, 9, 12; pitfalls 2, 23, 24)."""

import json
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import contract
import judges
from faults import injecting, processor_seconds, stop_traced
from groups import Member, Waiting, call
from millrace import Millrace, until
from test_ndjson import LineProducer
from test_stream import events


SMALL = 4 << 20


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "none", str(place)]
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


def fill_whole(server):
    """Appends smaller and smaller records until not even the smallest finds space."""
    for size in (50_000, 3_000, 100, 1):
        while (refused := server.produce("t", ["x" * size])).status == 200:
            pass
        assert refused.code == "storage-full", refused


def test_a_trim_makes_room_on_a_full_disk(small_disk):
    """No space is left for the draft of the checkpoint that the trim itself must write."""
    with Millrace(small_disk / "log") as server:
        server.create("t", segmentBytes=64 << 10)
        fill_whole(server)
        trimmed = server.delete("/v1/topics/t/partitions/0/records?before=20")
        assert (trimmed.status, trimmed.json) == (200, {"partition": 0, "logStartOffset": 20}), trimmed
        end = server.append("t", ["after"])[0]["offset"]
        server.kill()
    with Millrace(small_disk / "log") as server:
        assert [r["offset"] for r in server.read_all("t")] == list(range(20, end + 1))


def test_retention_makes_room_on_a_full_disk(small_disk):
    with Millrace(small_disk / "log") as server:
        server.create("t", segmentBytes=64 << 10, retentionBytes=1 << 20)
        fill_whole(server)
        end = server.get("/v1/topics/t").json["partitions"][0]["highWatermark"]
        server.kill()
    # Maintenance begins with the start.
    with Millrace(small_disk / "log") as server:
        place = until(lambda: (a := server.produce("t", ["after"])).status == 200 and a, 20)
        assert place.json["offsets"][0]["offset"] == end
        described = server.get("/v1/topics/t").json["partitions"][0]
        assert described["logStartOffset"] > 0 and described["bytes"] < SMALL / 2


def faulty(data, trace, fault=None, path=None):
    """A server whose fdatasync calls are traced, those on `path` alone if given, and fail as `fault` says."""
    wrapper = ["strace", "-f", "-qq", "-e", "trace=fdatasync", "-o", str(trace)]
    wrapper += ["-P", str(path)] if path else []
    wrapper += ["-e", f"inject=fdatasync:{fault}"] if fault else []
    return Millrace(data, wrapper=wrapper, wait=60)


def last_segment(data, topic):
    """The file that the partition 0 of a topic appends to."""
    return judges.segments(data, topic["topicId"])[0][-1]


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


def test_a_batch_that_fails_in_part_tells_every_records_fate(data, tmp_path, strace):
    """The status is that of the first error; what another partition took is not hidden by it."""
    with Millrace(data) as server:
        topic = server.create("parts", partitions=3)
        server.append("parts", [{"value": 0, "partition": n} for n in range(3)])
        server.terminate()
    bad = judges.segments(data, topic["topicId"])[1][-1]
    with faulty(data, tmp_path / "trace", "error=EIO", bad) as server:
        try:
            answer = server.produce("parts", [{"value": n, "partition": n % 3} for n in range(5)])
            assert (answer.status, answer.code) == (503, "partition-failed")
            assert answer.json["recordIndex"] == 1
            assert answer.json["results"] == [
                {"partition": 0, "offset": 1}, {"partition": 1, "code": "partition-failed"},
                {"partition": 2, "offset": 1}, {"partition": 0, "offset": 2},
                {"partition": 1, "code": "partition-failed"},
            ]
            assert [len(server.page("parts", "", p)["records"]) for p in range(3)] == [3, 1, 2]
        finally:
            stop_traced(server)


def test_a_partition_that_fails_leaves_one_line_in_the_log(data, tmp_path, strace):
    with Millrace(data) as server:
        topic = server.create("t", partitions=2)
        server.append("t", [{"value": 0, "partition": n} for n in range(2)])
        failed = lambda: [line for line in server.log().splitlines() if "a partition has failed" in line]
        with injecting(server, "fdatasync", "error=EIO", tmp_path / "trace", last_segment(data, topic)):
            for _ in range(3):
                assert server.produce("t", [1], "?partition=0").code == "partition-failed"
        until(failed)
        server.append("t", [1], "?partition=1")
        server.terminate()
        (line,) = map(json.loads, failed())
    assert line["level"] == "error" and line["error"]
    assert line["directory"] == str(data / "topics" / topic["topicId"] / "0")


def ndjson(server, lines, **headers):
    body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    headers = {"Content-Type": "application/x-ndjson", **headers}
    return server.post("/v1/topics/t/records", data=body, headers=headers)


def test_no_acknowledgement_line_follows_a_record_that_failed(data, tmp_path, strace):
    """A line stands for the record of its place: those of records behind it would be taken for others'."""
    with Millrace(data) as server:
        topic = server.create("t", partitions=2)
        server.append("t", [{"value": 0, "partition": n} for n in range(2)])
        bad, good = [logs[-1] for logs in judges.segments(data, topic["topicId"])]
        producer = LineProducer(server, "t")
        producer.connection.settimeout(30)
        late = "error=EIO:delay_enter=2500000"
        with producer.connection, injecting(server, "fdatasync", late, tmp_path / "trace", bad):
            producer.send(b'{"value":1,"partition":1}\n')
            producer.receive(b'"offset":1}')
            # Each in a part of its own: it was written before the next one is sent.
            for value, (log, partition) in enumerate([(bad, 0), (good, 1), (good, 1)], 2):
                before = log.stat().st_size
                producer.send(b'{"value":%d,"partition":%d}\n' % (value, partition))
                until(lambda: log.stat().st_size > before)
            producer.receive(b"\r\n0\r\n\r\n")
        lines = producer.lines()
        assert lines[:-1] == [{"partition": 1, "offset": 1}], lines
        problem = lines[-1]["problem"]
        assert (problem["code"], problem["line"], problem["recordCount"]) == ("partition-failed", 2, 1)
        assert problem["partitions"] == [{"partition": 1, "firstOffset": 1, "lastOffset": 3}]
        assert [r["value"] for r in server.page("t", "", 1)["records"]] == [0, 1, 3, 4]


@pytest.fixture
def half_full(data, tmp_path, strace):
    """A server whose topic `t` has a partition 1 that finds the disk full."""
    with Millrace(data) as server:
        topic = server.create("t", partitions=2)
        server.append("t", [{"value": "before", "partition": n} for n in range(2)])
        log = judges.segments(data, topic["topicId"])[1][-1]
        with injecting(server, "pwrite64", "error=ENOSPC", tmp_path / "trace", log):
            yield server


def mixed(count=5):
    """Records for the one and the other partition in turn."""
    return [{"value": n, "partition": n % 2} for n in range(count)]


@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson"])
def test_lines_appended_in_part_say_so_and_are_not_to_be_sent_again(half_full, accept):
    answer = ndjson(half_full, mixed(), Accept=accept)
    problem = json.loads(answer.body.splitlines()[-1])
    if accept == "application/x-ndjson":
        assert json.loads(answer.body.splitlines()[0]) == {"partition": 0, "offset": 1}
        assert answer.body.count(b"\n") == 2
        problem = problem["problem"]
    assert (problem["status"], problem["code"]) == (507, "storage-full")
    assert (problem["line"], problem["recordCount"], problem["retryable"]) == (2, 1, False)
    assert problem["partitions"] == [{"partition": 0, "firstOffset": 1, "lastOffset": 3}]
    assert "nothing was appended" not in problem["detail"]
    assert [r["value"] for r in half_full.page("t", "", 0)["records"]] == ["before", 0, 2, 4]


def test_lines_of_which_none_was_appended_may_be_sent_again(half_full):
    answer = ndjson(half_full, [{"value": n, "partition": 1} for n in range(3)])
    assert (answer.status, answer.code) == (507, "storage-full")
    assert (answer.json["line"], answer.json["recordCount"], answer.json["partitions"]) == (1, 0, [])
    assert answer.json["retryable"] is True


@pytest.mark.parametrize("acks", ["all", "leader", "none"])
def test_a_batch_appended_in_part_is_not_to_be_sent_again(half_full, acks):
    refused = half_full.produce("t", mixed(), f"?acks={acks}")
    assert (refused.status, refused.code) == (507, "storage-full")
    assert refused.json["retryable"] is False and refused.json["recordIndex"] == 1
    offsets = [{}] * 3 if acks == "none" else [{"offset": n} for n in (1, 2, 3)]
    taken = [{"partition": 0, **offset} for offset in offsets]
    full = {"partition": 1, "code": "storage-full"}
    assert refused.json["results"] == [taken[0], full, taken[1], full, taken[2]]
    assert "nothing was appended" not in refused.json["detail"]
    none = half_full.produce("t", [1, 2], f"?partition=1&acks={acks}")
    assert (none.code, none.json["retryable"]) == ("storage-full", True)


def test_a_batch_with_a_key_that_was_appended_in_part_may_be_sent_again(half_full):
    sent = {"headers": {"Idempotency-Key": "both"}}
    for _ in range(2):
        refused = half_full.produce("t", mixed(), **sent)
        assert (refused.status, refused.code) == (507, "storage-full")
        assert refused.json["retryable"] is True and "nothing was appended" not in refused.json["detail"]
        assert refused.json["results"][0] == {"partition": 0, "offset": 1}
    assert len(half_full.page("t", "", 0)["records"]) == 4, "what was there was not appended again"


def test_a_batch_without_acknowledgement_tells_what_was_taken_when_a_partition_has_failed(
    data, tmp_path, strace
):
    with Millrace(data) as server:
        topic = server.create("t", partitions=2)
        server.append("t", [{"value": 0, "partition": n} for n in range(2)])
        with injecting(server, "fdatasync", "error=EIO", tmp_path / "trace", last_segment(data, topic)):
            assert server.produce("t", [1], "?partition=0").code == "partition-failed"
        refused = server.produce("t", mixed(3), "?acks=none")
        assert (refused.status, refused.code) == (503, "partition-failed")
        failed = {"partition": 0, "code": "partition-failed"}
        assert refused.json["results"] == [failed, {"partition": 1}, failed]
        assert "send the others only" in refused.json["detail"]
        assert until(lambda: [r["value"] for r in server.page("t", "", 1)["records"]] == [0, 1])


def last_problem(server, path, accept):
    """The code of the problem that a stream ends with, in front of its cursor."""
    with server.stream(path, accept) as stream:
        if accept == "text/event-stream":
            said = [event.value for event in events(stream, path)]
        else:
            said = [contract.check_line("GET", path, line) for line in stream.iter_lines()]
    assert "cursor" in said[-1]
    return said[-2]["problem"]["code"]


def test_who_waits_for_a_partition_that_fails_is_told_and_all_else_goes_on(data, tmp_path, strace):
    """Each of its waits looked again at once, for ever, and no loop came to anything else."""
    with Millrace(data, "--loops", "2") as server:
        bad = server.create("bad")
        server.create("good")
        for topic in ("bad", "good"):
            server.append(topic, [1])
        member = Member(server, "g", "bad", "good")
        cursor = member.take()["cursor"]
        path = "/v1/topics/bad/records?cursor=0:1"
        waits = [Waiting(lambda: call(server, "GET", path + "&waitMs=60000")) for _ in range(8)]
        streams = [
            Waiting(lambda accept=accept: last_problem(server, path, accept))
            for accept in ("text/event-stream", "application/x-ndjson")]
        poll = member.waiting(cursor=cursor, waitMs=60_000)
        time.sleep(0.3)
        with injecting(server, "fdatasync", "error=EIO", tmp_path / "trace", last_segment(data, bad)):
            refused = server.produce("bad", ["doubtful"], timeout=10)
            assert (refused.status, refused.code) == (503, "partition-failed"), refused
        answers = [wait.end() for wait in waits]
        assert {(a.status, a.code) for a in answers} == {(503, "partition-failed")}
        assert [stream.end() for stream in streams] == ["partition-failed"] * 2
        late = server.get(path + "&waitMs=60000", timeout=10)
        assert (late.status, late.code) == (503, "partition-failed"), "nor does who comes later wait"
        before = processor_seconds(server)
        time.sleep(1)
        assert processor_seconds(server) - before < 0.4, "the poll that waits takes no processor"
        assert server.get("/livez", timeout=10).status == 200
        # The member reads on in its other partition, at its poll and as a stream.
        server.append("good", [2])
        page = poll.end().json
        assert [(r["topic"], r["value"]) for r in page["records"]] == [("good", 2)]
        with member.stream(cursor=page["cursor"]) as stream:
            server.append("good", [3])
            lines = (contract.check_line("GET", member.path + "/records", l) for l in stream.iter_lines())
            assert next(line["value"] for line in lines if "offset" in line) == 3
        assert server.terminate() == 0


def test_a_page_of_the_whole_topic_has_the_records_of_its_healthy_partitions(data, tmp_path, strace):
    with Millrace(data) as server:
        topic = server.create("t", partitions=2)
        server.append("t", [{"value": f"old {n}", "partition": n} for n in range(2)])
        bad = judges.segments(data, topic["topicId"])[0][-1]
        with injecting(server, "fdatasync", "error=EIO", tmp_path / "trace", bad):
            assert server.produce("t", ["doubtful"], "?partition=0", timeout=10).code == "partition-failed"
        page = server.page("t")
        assert sorted(r["value"] for r in page["records"]) == ["old 0", "old 1"]
        # Behind what it shows of the failed one: nothing is there to deliver, and no end either.
        for query in (f"?cursor={page['cursor']}", "?from=latest", f"?cursor={page['cursor']}&waitMs=60000"):
            answer = server.get(f"/v1/topics/t/records{query}", timeout=10)
            assert (answer.status, answer.code) == (503, "partition-failed"), answer
        server.append("t", ["new"], "?partition=1")
        page = server.page("t", f"?cursor={page['cursor']}")
        assert [(r["partition"], r["value"]) for r in page["records"]] == [(1, "new")]
        assert not page["caughtUp"], "what the failed one has is not known"


def test_what_a_sync_that_failed_at_the_start_hides_is_503_and_not_the_end(data, tmp_path, strace):
    with Millrace(data) as server:
        topic = server.create("t")
        server.append("t", list(range(100)))
        server.kill()
    with faulty(data, tmp_path / "trace", "error=EIO:when=1", last_segment(data, topic)) as server:
        try:
            assert server.get("/v1/topics/t").json["partitions"][0]["failure"]
            for query in ("?from=earliest", "?cursor=0:0", "?cursor=0:50", "?cursor=0:50&waitMs=60000"):
                answer = server.get(f"/v1/topics/t/records{query}", timeout=10)
                assert (answer.status, answer.code) == (503, "partition-failed"), (query, answer)
        finally:
            stop_traced(server)
    with Millrace(data) as server:
        assert [r["value"] for r in server.read_all("t")] == list(range(100))


def test_a_sync_that_fails_when_damage_was_found_cuts_nothing_off(data, tmp_path, strace):
    """The scrubber has moved the end of what is shown back to the damage: far more than what the
    failed sync leaves in doubt lies behind it."""
    with Millrace(data, "--scrub-bytes-per-second", 0) as server:
        topic = server.create("t", segmentBytes=64 << 10)
        for _ in range(15):
            end = server.append("t", ["x" * 1000] * 20)[-1]["offset"] + 1
        assert server.terminate() == 0
    logs = judges.segments(data, topic["topicId"])[0]
    assert len(logs) == 5
    byte_count = logs[-1].stat().st_size
    damaged = bytearray(logs[3].read_bytes())
    damaged[1000] ^= 1
    logs[3].write_bytes(damaged)
    trace, slow = tmp_path / "trace", "error=EIO:delay_enter=5000000"
    wrapper = ["strace", "-f", "-qq", "-e", "trace=fdatasync", "-P", str(logs[-1]), "-o", str(trace)]
    wrapper += ["-e", f"inject=fdatasync:{slow}"]
    # It comes to the damage three seconds behind the start, and the sync to its end in five.
    with Millrace(data, "--scrub-bytes-per-second", 61_000, wrapper=wrapper, wait=60) as server:
        try:
            answer = server.produce("t", ["doubtful"])
            assert answer.code == "log-damaged", answer
            until(lambda: "INJECTED" in trace.read_text(), 30)
        finally:
            stop_traced(server, signal.SIGTERM)
    assert logs[-1].stat().st_size >= byte_count, "what was acknowledged is there"
    damaged[1000] ^= 1
    logs[3].write_bytes(damaged)
    with Millrace(data) as server:
        assert [r["offset"] for r in server.read_all("t")][:end] == list(range(end))


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
