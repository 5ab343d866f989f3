"""What lies on disk is Kafka's, byte for byte: two decoders not ours read every segment (pitfalls 8, 18)."""

import base64
import json
import re
import shutil
import struct
import time

import pytest

import judges
from millrace import Millrace, run, until


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A directory that was written to in every way and stopped cleanly."""
    data = tmp_path_factory.mktemp("original") / "log"
    with Millrace(data) as server:
        topic = server.create("t", partitions=3, segmentBytes=64 << 10)
        batch = [
            {"key": f"k{n}", "value": {"n": n}, "headers": {"h": ["1", "2"], "e": None}}
            for n in range(200)
        ]
        for _ in range(80):
            server.append("t", batch)
        server.append("t", [{"value": None, "key": "dead"}])
        lines = b"".join(b'{"value":"%d","timestamp":%d}\n' % (n, 5000 - n) for n in range(3000))
        headers = {"Content-Type": "application/x-ndjson"}
        server.post("/v1/topics/t/records", data=lines, headers=headers)
        raw = bytes(range(256))
        server.post("/v1/topics/t/records", data=raw, headers={"Content-Type": "x/y"})
        assert server.produce("t", batch, "?acks=leader").status == 200
        expected = [[], [], []]
        for record in server.read_all("t"):
            expected[record["partition"]].append(record)
        assert server.terminate() == 0
    return data, topic["topicId"], expected


@pytest.fixture
def written(original, data):
    """A copy of it, for a test to do with as it likes."""
    directory, topic_id, expected = original
    shutil.copytree(directory, data)
    return data, topic_id, expected


def wanted_value(record):
    if record.get("valueEncoding") == "base64":
        return base64.b64decode(record["value"])
    if "valueEncoding" in record:
        return record["value"].encode()
    return record["value"]


def is_equal(record, judged):
    value = wanted_value(record)
    if value is not None and not isinstance(value, bytes):
        same = json.loads(judged.value) == value
    else:
        same = judged.value == value
    key = record["key"].encode() if "key" in record else None
    return same and judged.key == key and judged.timestamp == record["timestamp"]


def test_kafka_python_reads_every_segment_as_it_was_served(written):
    data, topic_id, expected = written
    rolled = 0
    for logs, records in zip(judges.segments(data, topic_id), expected):
        rolled += len(logs) - 1
        judged = [record for log in logs for record in judges.judge(log)]
        assert [r.offset for r in judged] == [r["offset"] for r in records]
        assert all(is_equal(r, j) for r, j in zip(records, judged))
    assert rolled > 3, "the segments were small enough to roll"


def test_librdkafka_reads_every_segment_as_it_was_served(written):
    data, topic_id, expected = written
    for logs, records in zip(judges.segments(data, topic_id), expected):
        judged = judges.librdkafka(logs)
        assert len(judged) == len(records)
        assert all(is_equal(r, j) for r, j in zip(records, judged))


def test_indexes_point_at_the_batches_they_name(written):
    data, topic_id, _ = written
    assert sum(judges.judge_index(log) for logs in judges.segments(data, topic_id) for log in logs) > 5


def test_the_judge_of_indexes_finds_an_entry_that_is_off_by_one(written):
    data, topic_id, _ = written
    log = judges.segments(data, topic_id)[0][0]
    index = log.with_suffix(".index")
    damaged = bytearray(index.read_bytes())
    damaged[7] ^= 1
    index.write_bytes(damaged)
    with pytest.raises(AssertionError):
        judges.judge_index(log)


def test_headers_lie_on_disk_in_order_and_with_their_nulls(written):
    data, topic_id, _ = written
    first = judges.judge(judges.segments(data, topic_id)[0][0])[0]
    assert first.headers == [("h", b"1"), ("h", b"2"), ("e", None)]


def test_the_judges_find_a_flipped_bit(written, tmp_path):
    """A judge that never condemns is none."""
    data, topic_id, _ = written
    log = judges.segments(data, topic_id)[0][0]
    damaged = bytearray(log.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    copy = tmp_path / log.name
    copy.write_bytes(damaged)
    with pytest.raises(AssertionError):
        judges.judge(copy)


def test_a_clean_start_serves_the_same_records_again(written):
    data, _, expected = written
    with Millrace(data) as server:
        records = server.read_all("t")
    assert sorted((r["partition"], r["offset"]) for r in records) == sorted(
        (r["partition"], r["offset"]) for p in expected for r in p
    )


def test_missing_indexes_are_built_anew(written):
    """Pitfall 11."""
    data, topic_id, expected = written
    for logs in judges.segments(data, topic_id):
        for log in logs:
            log.with_suffix(".index").unlink()
            log.with_suffix(".timeindex").write_bytes(b"\x00" * 7)
    with Millrace(data) as server:
        for partition, records in enumerate(expected):
            middle = records[len(records) // 2]["offset"]
            page = server.page("t", f"?offset={middle}&maxRecords=1", partition)
            assert page["records"][0]["offset"] == middle


def test_a_torn_tail_is_cut_and_offsets_go_on(written):
    data, topic_id, expected = written
    log = judges.segments(data, topic_id)[1][-1]
    whole = log.stat().st_size
    with open(log, "ab") as file:
        file.write(struct.pack(">qi", expected[1][-1]["offset"] + 1, 500) + b"\x00" * 30)
    with Millrace(data) as server:
        place = server.append("t", ["next"], "?partition=1")[0]
        assert place["offset"] == expected[1][-1]["offset"] + 1
        server.terminate()
    assert log.stat().st_size > whole
    judges.judge(log)


@pytest.mark.parametrize("stop", ["clean", "killed"])
def test_damage_with_good_batches_behind_it_is_never_cut_away(written, stop):
    """Pitfall 8: Kafka truncates at the first bad batch. Served up to it, no writes, told where."""
    data, topic_id, expected = written
    if stop == "killed":
        with Millrace(data) as server:
            server.append("t", ["last"], "?partition=2")
            server.kill()
    log = judges.segments(data, topic_id)[2][-1]
    raw, _ = judges.batches(log.read_bytes())
    position = sum(map(len, raw[:len(raw) // 2]))
    first_bad = struct.unpack_from(">q", raw[len(raw) // 2])[0]
    damaged = bytearray(log.read_bytes())
    damaged[position + 70] ^= 0xFF
    log.write_bytes(damaged)
    with Millrace(data) as server:
        page = server.get(f"/v1/topics/t/partitions/2/records?offset={first_bad}")
        assert page.code == "log-damaged" and page.json["damagedAt"] <= first_bad, page
        good = server.page("t", f"?offset={expected[2][0]['offset']}&maxRecords=5", 2)
        assert good["records"] == expected[2][:5]
        if stop == "killed":
            assert server.produce("t", [1], "?partition=2").status >= 500
            assert server.produce("t", [1], "?partition=0").status == 200
    assert log.read_bytes() == damaged, "nothing was cut away, nothing appended behind the damage"


def test_a_partition_whose_files_are_gone_is_failed_and_not_begun_anew(written):
    """At offset 0 again, records would come under offsets that were given to others."""
    data, topic_id, expected = written
    partition = data / "topics" / topic_id / "1"
    shutil.rmtree(partition)
    partition.mkdir()
    for _ in range(2):
        with Millrace(data) as server:
            described = server.get("/v1/topics/t").json["partitions"]
            assert ["failure" in entry for entry in described] == [False, True, False]
            answer = server.produce("t", ["again"], "?partition=1")
            assert (answer.status, answer.code) == (503, "partition-failed"), answer
            page = server.get("/v1/topics/t/partitions/1/records?from=earliest")
            assert (page.status, page.code) == (503, "partition-failed"), page
            end = expected[0][-1]["offset"] + 1
            place = server.append("t", ["on"], "?partition=0")[0]
            assert place["offset"] >= end
            assert server.terminate() == 0
    assert not list(partition.glob("*.log"))


def scrubbed_bytes(server):
    lines = server.get("/metrics").body.decode().splitlines()
    return int(next(l for l in lines if l.startswith("millrace_log_scrubbed_bytes_total ")).split()[1])


def test_the_scrubber_keeps_to_its_bytes_per_second(data):
    """Behind a MiB at a time it must wait for more than a second."""
    with Millrace(data, "--scrub-bytes-per-second", 0) as server:
        server.create("t", segmentBytes=64 << 10)
        for _ in range(12):
            server.append("t", ["x" * 1_000] * 1_000)
        assert server.terminate() == 0
    started = time.monotonic()
    with Millrace(data, "--scrub-bytes-per-second", 250_000) as server:
        until(lambda: scrubbed_bytes(server) > 0, 30)
        while time.monotonic() - started < 2.5:
            most = 250_000 * (time.monotonic() - started)
            assert scrubbed_bytes(server) < most + (2 << 20)
            time.sleep(0.1)
        assert server.terminate() == 0


def test_log_inspect_and_verify_say_what_is_there(written):
    data, topic_id, _ = written
    log = judges.segments(data, topic_id)[0][0]
    shown = run("log", "inspect", log)
    assert shown.returncode == 0 and shown.stdout.count("\n") >= len(judges.batches(log.read_bytes())[0])
    assert run("log", "verify", data).returncode == 0
    damaged = bytearray(log.read_bytes())
    damaged[100] ^= 1
    log.write_bytes(damaged)
    verdict = run("log", "verify", data)
    assert verdict.returncode == 1 and log.name in verdict.stdout + verdict.stderr
    assert run("log", "inspect", data / "absent").returncode == 1


def logs_of(partition, places):
    return sorted(partition.glob("*.log"))[places]


def remove(paths):
    for path in paths:
        path.unlink()


@pytest.mark.parametrize("damage, named", [
    (lambda data, topic: remove(logs_of(topic / "1", slice(0, 1))), r"0{20}\.log: is missing"),
    (lambda data, topic: remove(logs_of(topic / "1", slice(-1, None))), r"\d{20}\.log: is missing"),
    (lambda data, topic: remove(logs_of(topic / "1", slice(None))), r"\d{20}\.log: is missing"),
    (lambda data, topic: remove((topic / "1").iterdir()), r"\*\.log: are missing"),
    (lambda data, topic: shutil.rmtree(topic / "1"), "TOPIC/1: .*missing"),
    (lambda data, topic: (topic / "topic.json").write_text("garbage"), "TOPIC: .*topic.json"),
    (lambda data, topic: (topic / "topic.json").unlink(), "TOPIC: .*topic.json"),
    (lambda data, topic: (data / "node.json").write_text("garbage"), "node.json"),
], ids=["the first segment", "the last segment", "all segments", "all files", "the directory",
        "topic.json is garbage", "topic.json is gone", "node.json is garbage"])
def test_log_verify_finds_what_is_not_there_any_more(written, damage, named):
    data, topic_id, _ = written
    topic = data / "topics" / topic_id
    assert all(len(logs) > 1 for logs in judges.segments(data, topic_id))
    damage(data, topic)
    verdict = run("log", "verify", data)
    found = [line for line in verdict.stdout.splitlines() if "DAMAGE" in line]
    assert verdict.returncode == 1 and found, verdict
    wanted = re.compile("DAMAGE .*" + named.replace("TOPIC", f"topics/{topic_id}"))
    assert all(wanted.search(line) for line in found), found
    # What is there was looked into nevertheless.
    assert all(f"topics/{topic_id}/{number}: " in verdict.stdout for number in (0, 2)), verdict


def test_log_verify_goes_on_behind_what_it_cannot_list(written):
    data, topic_id, _ = written
    topic = data / "topics" / topic_id
    shutil.rmtree(topic / "0")
    (topic / "0").write_text("no directory")
    (data / "topics" / "0").write_text("no directory")
    log = logs_of(topic / "2", 0)
    damaged = bytearray(log.read_bytes())
    damaged[100] ^= 1
    log.write_bytes(damaged)
    verdict = run("log", "verify", data)
    found = "\n".join(line for line in verdict.stdout.splitlines() if "DAMAGE" in line)
    assert verdict.returncode == 1
    assert "topics/0: " in found and f"topics/{topic_id}/0: " in found and log.name in found, verdict


def assert_is_healthy(data):
    verdict = run("log", "verify", data)
    assert (verdict.returncode, verdict.stderr) == (0, ""), verdict
    assert "DAMAGE" not in verdict.stdout and ", 0 findings of damage" in verdict.stdout


def test_log_verify_takes_nothing_for_damage_behind_trims_retention_compaction_and_kills(data):
    """Segments that were taken away for good reason are not missing."""
    topics = {
        "plain": {"partitions": 2}, "trimmed": {}, "emptied": {}, "packed": {"compressionType": "gzip"},
        "retained": {"retentionBytes": 100_000}, "compacted": {"cleanupPolicy": "compact"},
    }
    for number, stop in enumerate(("kill", "terminate", "kill")):
        with Millrace(data) as server:
            for topic, configuration in topics.items() if number == 0 else ():
                server.create(topic, **{"segmentBytes": 64 << 10, **configuration})
            if number > 0:
                # Maintenance begins with the start.
                for topic in ("retained", "compacted"):
                    first = lambda: server.page(topic, "?from=earliest&maxRecords=1")["records"][0]
                    until(lambda: first()["offset"] > 0, 60)
            for topic in topics:
                for _ in range(5):
                    server.append(topic, [{"key": f"k{n}", "value": "x" * 900} for n in range(50)])
            end = (number + 1) * 250
            for topic, before in (("trimmed", end - 100), ("emptied", end)):
                trimmed = server.delete(f"/v1/topics/{topic}/partitions/0/records?before={before}")
                assert trimmed.json["logStartOffset"] == before, trimmed
            server.create(f"untouched-{number}")
            server.create("deleted")
            assert server.delete("/v1/topics/deleted").status == 204
            getattr(server, stop)()
        verdict = run("log", "verify", data)
        assert (verdict.returncode, verdict.stderr) == (0, ""), verdict
        assert "DAMAGE" not in verdict.stdout and verdict.stdout.endswith(", 0 findings of damage\n"), verdict
