"""Groups over restarts, pauses, clock jumps and clients that vanish: the real process."""

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import time

import pytest
import requests

from faults import injecting
from groups import (
    Member, call, committed, describe, join, members, offsets, places, settle,
)
from millrace import Millrace, until


def fill(server, topic, count=40, partitions=4):
    server.append(topic, [{"value": n, "partition": n % partitions} for n in range(count)])


def whole(server, group):
    """All that the group is, without what moves with time."""
    stored = offsets(server, group)
    for entry in stored.values():
        entry.pop("lagMs")
    return describe(server, group), stored


@pytest.mark.parametrize("end", ["terminate", "kill"])
def test_a_restart_goes_on_with_the_same_poll_and_starts_no_rebalance(data, end):
    """Pitfalls 35 and 40: the replayed state is another; a static rejoin is not in it."""
    with Millrace(data) as server:
        server.create("t", partitions=4)
        fill(server, "t")
        loops = [Member(server, "g", "t", memberId=m) for m in ("a", "b", "c")]
        settle(*loops)
        again = Member(server, "g", "t", memberId="b")
        assert again.assignment == loops[1].assignment
        loops[1] = again
        pages = [m.take(maxRecords=4) for m in loops]
        for member, page in zip(loops, pages):
            member.take(commit=page["cursor"], maxRecords=4)
        Member(server, "waiting", "not-there", memberId="w")
        before = whole(server, "g"), whole(server, "waiting")
        pages = [m.take(maxRecords=4) for m in loops]
        assert getattr(server, end)() in (0, None)
    with Millrace(data) as server:
        for member, page in zip(loops, pages):
            member.server = server
            assert member.take(maxRecords=4) == page
            assert not member.heartbeat().json["assignmentChanged"]
        assert (whole(server, "g"), whole(server, "waiting")) == before
        stale = loops[1].poll(memberEpoch=loops[1].epoch - 1)
        assert stale.code == "fenced-instance-id"


def test_a_rebalance_under_way_goes_on_behind_kill_9(data):
    """Pitfall 38: nobody is given what its old owner has not confirmed, restart or not."""
    with Millrace(data) as server:
        server.create("t", partitions=4)
        first, second = Member(server, "g", "t"), Member(server, "g", "t")
        first.take()
        server.kill()
    with Millrace(data) as server:
        first.server = second.server = server
        assert describe(server, "g")["state"] == "rebalancing"
        second.take()
        assert second.assignment == set()
        settle(first, second)
        assert len(second.assignment) == 2 and not first.assignment & second.assignment


@pytest.mark.parametrize("route", ["poll", "commit"])
def test_a_commit_is_there_when_the_server_is_killed_right_behind_its_answer(data, route):
    """Pitfall 34: a commit acknowledged before it is durable."""
    with Millrace(data) as server:
        server.create("t")
        server.append("t", list(range(10)))
        member = Member(server, "g", "t")
        server.kill()
    for offset in range(1, 6):
        with Millrace(data) as server:
            member.server = server
            assert committed(server, "g") == ({("t", 0): offset - 1} if offset > 1 else {})
            if route == "poll":
                page = member.take(commit=f"t/0:{offset}", maxRecords=1)
                assert page["records"][0]["offset"] == offset
            else:
                assert member.commit(("t", 0, offset)).status == 204
            os.kill(server.process.pid, signal.SIGKILL)


def test_while_the_log_recovers_groups_are_503_and_no_older_offset(data):
    """Pitfall 36: a state that is loaded in part passes for all of it."""
    with Millrace(data) as server:
        server.create("t")
        server.append("t", list(range(100)))
        member = Member(server, "g", "t")
        for offset in range(1, 41):
            assert member.commit(("t", 0, offset)).status == 204
        server.kill()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Every read of the disk takes its time, so that there is a time of recovery to ask in.
    wrapper = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=pread64,preadv2,openat"]
    wrapper += ["-e", "inject=pread64,preadv2:delay_enter=8000"]
    answers = []
    with Millrace(data, listen=f"127.0.0.1:{port}", wrapper=wrapper, wait=0) as server:
        server.base = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                answer = call(server, "GET", "/v1/groups/g/offsets")
                polled = call(
                    server, "POST", member.path + "/poll",
                    json={"memberEpoch": member.epoch, "maxRecords": 1})
            except requests.ConnectionError:
                time.sleep(0.02)
                continue
            answers.append((answer.status, polled.status))
            for each in (answer, polled):
                assert each.status == 200 or (each.status, each.code) == (503, "not-ready"), each
            if answer.status == 200:
                assert answer.json["offsets"][0]["offset"] == 40
            if polled.status == 200:
                assert polled.json["records"][0]["offset"] == 40
            if answer.status == polled.status == 200:
                break
        os.system(f"pkill -9 -P {server.process.pid}")
    assert (503, 503) in answers and answers[-1] == (200, 200), answers


def state_log(data):
    """The one shard of the internal state log that anything was written to."""
    names = [p.parent for p in (data / "topics").glob("*/topic.json") if b"__millrace_groups" in p.read_bytes()]
    logs = [log for log in names[0].glob("*/*.log") if log.stat().st_size > 0]
    assert len(logs) == 1, logs
    return logs[0]


@pytest.mark.parametrize("place", ["last", "middle", "all"])
def test_groups_whose_state_log_is_damaged_are_503_and_never_of_an_older_state(data, place):
    """What is left in front of the damage passes for all there was: a fenced process is back in
    office, and what was committed is read again."""
    with Millrace(data) as server:
        server.create("t")
        server.append("t", list(range(50)))
        old = Member(server, "g", "t", memberId="m")
        new = Member(server, "g", "t", memberId="m")
        before = state_log(data).stat().st_size
        new.take(commit="t/0:20")
        after = state_log(data).stat().st_size
        assert new.commit(("t", 0, 40)).status == 204
        server.kill()
    log = state_log(data)
    if place == "all":
        log.unlink()
    else:
        damaged = bytearray(log.read_bytes())
        damaged[(before if place == "middle" else after) + 70] ^= 1
        log.write_bytes(damaged)
    for _ in range(2):
        with Millrace(data) as server:
            old.server = new.server = server
            for answer in (
                call(server, "GET", "/v1/groups/g/offsets"), call(server, "GET", "/v1/groups/g"),
                old.heartbeat(), old.poll(maxRecords=1), new.heartbeat(), new.poll(maxRecords=1),
                new.commit(("t", 0, 41)), join(server, "g", "t", memberId="m"),
            ):
                assert (answer.status, answer.code) == (503, "partition-failed"), answer
            # A topic, and the groups of other shards, are as ever.
            assert len(server.read_all("t")) == 50
            others = [join(server, f"other-{n}", "t").status for n in range(12)]
            assert 201 in others and set(others) <= {201, 503}
            server.terminate()


def test_a_partition_that_cannot_be_opened_keeps_no_member_from_its_others(data):
    with Millrace(data) as server:
        topic = server.create("t", partitions=2)
        server.create("ok")
        server.append("t", [{"value": n, "partition": n % 2} for n in range(10)])
        server.append("ok", ["a", "b"])
        commit = {"cursor": "t/0:1,t/1:1,ok/0:1"}
        assert call(server, "POST", "/v1/groups/g/offsets", json=commit).status == 204
        assert server.terminate() == 0
    (data / "topics" / topic["topicId"] / "1").rename(data.parent / "aside")
    with Millrace(data) as server:
        member = Member(server, "g", "t", "ok")
        page = member.take()
        assert sorted(str(r["value"]) for r in page["records"]) == ["2", "4", "6", "8", "b"]
        listed = offsets(server, "g")
        assert {place: o["offset"] for place, o in listed.items()} == {
            ("t", 0): 1, ("t", 1): 1, ("ok", 0): 1}
        figures = lambda place: [listed[place][name] for name in ("endOffset", "lag", "lagMs")]
        assert figures(("t", 1)) == [None] * 3
        assert figures(("t", 0))[:2] == [5, 4] and figures(("ok", 0))[:2] == [2, 1]
        page = member.take(commit="t/0:3,ok/0:2")
        assert [r["value"] for r in page["records"]] == [6, 8]
        assert committed(server, "g") == {("t", 0): 3, ("t", 1): 1, ("ok", 0): 2}
        waiting = member.waiting(commit="t/0:5", waitMs=60_000)
        server.append("ok", ["c"])
        assert [r["value"] for r in waiting.end().json["records"]] == ["c"]


# Members that are paused or vanish


def test_a_member_that_was_silent_cannot_commit_what_another_owns(data):
    """Pitfalls 32 and 37: a commit of a stale epoch; an owner that does not know that it is none."""
    with Millrace(data) as server:
        server.create("t")
        server.append("t", list(range(20)))
        zombie = Member(server, "g", "t", sessionTimeoutMs=1000)
        zombie.take(commit="t/0:4")
        heir = Member(server, "g", "t")
        page = heir.waiting(waitMs=20_000).end().json
        assert places(page["assignment"]) == {("t", 0)}
        assert [r["offset"] for r in page["records"]] == list(range(4, 20))
        heir.epoch = page["memberEpoch"]
        page = heir.take(maxRecords=6)
        assert [r["offset"] for r in page["records"]] == list(range(4, 10))
        heir.take(commit=page["cursor"])
        for late in (zombie.poll(commit="t/0:5"), zombie.commit(("t", 0, 5)), zombie.heartbeat()):
            assert (late.status, late.code) == (404, "unknown-member")
        assert committed(server, "g") == {("t", 0): 10}
        # The same of a static member that came back as another process.
        heir.leave()
        old = Member(server, "g", "t", memberId="s")
        new = Member(server, "g", "t", memberId="s")
        new.take(commit="t/0:15")
        for late in (old.poll(commit="t/0:11"), old.commit(("t", 0, 11)), old.heartbeat()):
            assert (late.status, late.code) == (409, "fenced-instance-id")
        assert committed(server, "g") == {("t", 0): 15}


def test_members_that_join_and_vanish_hold_nothing_for_longer_than_their_session(data):
    """Pitfall 39: a rebalance that waits for a ghost."""
    with Millrace(data) as server:
        server.create("t", partitions=12)
        stays = Member(server, "g", "t", memberId="stays", sessionTimeoutMs=3000)
        for step in range(12):
            ghost = Member(server, "g", "t", sessionTimeoutMs=1000)
            if step % 3 > 0:
                stays.take()
            if step % 3 > 1:
                ghost.take()
            stays.take()
        vanished = time.monotonic()
        while stays.take()["memberEpoch"] and len(stays.assignment) < 12:
            assert time.monotonic() - vanished < 5
            time.sleep(0.05)
        assert time.monotonic() - vanished < 1 + 1 + 1
        assert describe(server, "g")["state"] == "stable"


def test_who_keeps_what_it_owes_is_expelled_though_the_disk_was_full_at_its_deadline(data, tmp_path, strace):
    """What cannot be written down is tried again, and as what it is: its session goes on."""
    with Millrace(data) as server:
        server.create("t", partitions=2)
        keeps = Member(server, "g", "t", memberId="keeps", rebalanceTimeoutMs=2500)
        waits = Member(server, "g", "t", memberId="waits")
        with injecting(server, "pwrite64", "error=ENOSPC", tmp_path / "trace", state_log(data)) as has_failed:
            until(lambda: keeps.heartbeat().status == 200 and has_failed(), 20)
            assert keeps.heartbeat().json["assignmentChanged"]
        # Heartbeats keep its session, and confirm nothing.
        until(lambda: keeps.heartbeat().code == "unknown-member", 20)
        waits.take()
        assert waits.assignment == {("t", 0), ("t", 1)}


@pytest.mark.parametrize("session, stop", [(1000, 4.0), (1000, 1.5), (2000, 4.0)])
def test_a_pause_of_the_server_is_nobodys_silence(data, session, stop):
    """Pitfall 42: a server that was stopped takes all its members for gone."""
    with Millrace(data) as server:
        server.create("t", partitions=4)
        loops = [Member(server, "g", "t", sessionTimeoutMs=session) for _ in range(3)]
        settle(*loops)
        server.process.send_signal(signal.SIGSTOP)
        time.sleep(stop)
        server.process.send_signal(signal.SIGCONT)
        time.sleep(0.4)
        for member in loops:
            beat = member.heartbeat()
            assert beat.status == 200 and not beat.json["assignmentChanged"], beat
        assert members(server, "g") == {m.id for m in loops}
        # And whoever then is silent is gone all the same.
        until(lambda: not members(server, "g"), session / 1000 + 3)


# Debian's libfaketime stops a program of many threads for ever, once in a while: this moves the wall
# clock alone, by the seconds that stand in a shared page.
CLOCK = r"""
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static volatile long *jump;
__attribute__((constructor)) static void open_page(void) {
    jump = mmap(0, 8, PROT_READ, MAP_SHARED, open(getenv("CLOCK_PAGE"), O_RDONLY), 0);
}
int clock_gettime(clockid_t clock, struct timespec *time) {
    int status = syscall(SYS_clock_gettime, clock, time);
    if (clock == CLOCK_REALTIME && jump) time->tv_sec += *jump;
    return status;
}
"""
COMPILER = shutil.which("cc") or shutil.which("clang")


@pytest.mark.skipif(not COMPILER, reason="no C compiler here")
def test_a_jump_of_the_wall_clock_ends_no_session_and_no_offset(data, tmp_path):
    """Pitfalls 41 and 43: the wall clock is used for sessions, or for the age of offsets."""
    (tmp_path / "clock.c").write_text(CLOCK)
    library, page = tmp_path / "clock.so", tmp_path / "page"
    subprocess.run(
        [COMPILER, "-shared", "-fPIC", "-o", library, tmp_path / "clock.c"], check=True)
    page.write_bytes(bytes(8))
    with Millrace(data, env={"LD_PRELOAD": str(library), "CLOCK_PAGE": str(page)}) as server:
        server.create("t", partitions=2)
        server.append("t", [{"value": n, "partition": n % 2} for n in range(10)])
        commit = {"cursor": "t/0:3,t/1:4"}
        assert call(server, "POST", "/v1/groups/left/offsets", json=commit).status == 204
        member = Member(server, "g", "t", sessionTimeoutMs=2000)
        years = 10 * 365 * 86400
        for jump in (years, -years, 8 * 86400, -1, 0):
            with open(page, "r+b") as file:
                file.write(struct.pack("<q", jump))
            for _ in range(4):
                time.sleep(0.3)
                assert not member.heartbeat().json["assignmentChanged"]
            stamped = server.append("t", [{"value": "now", "partition": 0}])
            record = server.page("t", f"?offset={stamped[0]['offset']}", partition=0)["records"][0]
            assert abs(record["timestamp"] / 1000 - time.time() - jump) < 60, "the jump is real"
            assert committed(server, "left") == {("t", 0): 3, ("t", 1): 4}
        member.take(commit="t/0:5")
        assert committed(server, "g")[("t", 0)] == 5
        until(lambda: not members(server, "g"), 6)


# Late, lost and repeated requests


def test_a_late_commit_of_a_valid_member_moves_the_offset_back_as_documented(data):
    """Pitfall 44: 10 behind 20. As in Kafka the last one counts, while its epoch is the present."""
    with Millrace(data) as server:
        server.create("t")
        server.append("t", list(range(30)))
        member = Member(server, "g", "t")
        for offset in (20, 10):
            assert member.commit(("t", 0, offset)).status == 204
        assert committed(server, "g") == {("t", 0): 10}


def test_a_produce_retried_behind_a_kill_is_seen_once_by_the_group(data):
    """Pitfall 46: acknowledgement lost, client retries: a duplicate."""
    with Millrace(data) as server:
        server.create("t")
        assert server.produce("t", [0], headers={"Idempotency-Key": "k"}).status == 200
        for _ in range(3):
            assert server.produce("t", [1], headers={"Idempotency-Key": "once"}).status == 200
        server.kill()
    with Millrace(data) as server:
        assert server.produce("t", [1], headers={"Idempotency-Key": "once"}).status == 200
        page = Member(server, "g", "t").take()
        assert [r["value"] for r in page["records"]] == [0, 1]


def test_a_poll_or_stream_at_a_future_offset_gives_nothing_older(data):
    """Pitfall 48: who subscribes at a future offset gets old data."""
    with Millrace(data) as server:
        server.create("t")
        server.append("t", list(range(10)))
        member = Member(server, "g", "t")
        for answer in (
            member.poll(cursor="t/0:110", waitMs=1000),
            call(server, "GET", f"{member.path}/records?memberEpoch={member.epoch}&cursor=t/0:110",
                 headers={"Accept": "text/event-stream"}),
        ):
            assert (answer.status, answer.code) == (416, "offset-out-of-range")
            assert answer.json["latestOffset"] == 10


def test_lag_of_a_member_counts_only_what_is_still_there(data):
    """Pitfall 49: lag wrong after trimming."""
    with Millrace(data) as server:
        server.create("t")
        server.append("t", list(range(10)))
        member = Member(server, "g", "t")
        member.take(commit="t/0:2")
        server.delete("/v1/topics/t/partitions/0/records?before=6")
        entry = offsets(server, "g")[("t", 0)]
        assert (entry["lag"], entry["offset"], entry["owner"]) == (4, 2, member.id)


# Topics that go and come


def blind(member, cursor, rounds=12):
    """A worker that commits its last cursor whatever came between, and obeys each answer."""
    seen = []
    for _ in range(rounds):
        answer = member.poll(**({"commit": cursor} if cursor else {}))
        if answer.status == 409:
            assert answer.code == "fenced-member-epoch", answer
            member.epoch = answer.json["memberEpoch"]
            continue
        assert answer.status == 200, answer
        member.epoch, cursor = answer.json["memberEpoch"], answer.json["cursor"]
        seen += [r["value"] for r in answer.json["records"]]
    return seen


@pytest.mark.parametrize("partitions", [4, 2])
@pytest.mark.parametrize("count", [8, 80])
def test_a_worker_that_commits_blindly_goes_on_in_a_topic_that_came_anew(data, partitions, count):
    """Pitfall 27: commits for the old topic do not apply to the new one, longer or shorter."""
    with Millrace(data) as server:
        server.create("t", partitions=4)
        fill(server, "t")
        member = Member(server, "g", "t")
        cursor = member.take()["cursor"]
        server.delete("/v1/topics/t")
        server.create("t", partitions=partitions)
        fill(server, "t", count, partitions)
        assert sorted(blind(member, cursor)) == list(range(count)), "nothing skipped, none twice"
        assert sum(committed(server, "g").values()) == count
        assert all(o["lag"] == 0 for o in offsets(server, "g").values())


def test_a_cursor_of_the_old_topic_is_no_place_in_the_new_one(data):
    """Pitfall 27: the poll that learns of the new topic still carries a cursor of the old one."""
    with Millrace(data) as server:
        server.create("t")
        server.append("t", list(range(10)))
        member = Member(server, "g", "t")
        cursor = member.take()["cursor"]
        server.delete("/v1/topics/t")
        server.create("t")
        server.append("t", list(range(100, 120)))
        # The old topic's partition goes with the first poll, the new one's comes with the next.
        assert member.take(cursor=cursor)["records"] == []
        page = member.take(cursor=cursor)
        assert [r["value"] for r in page["records"]] == list(range(100, 120))


@pytest.mark.parametrize("others", [(), ("audit",)])
def test_a_cursor_of_the_old_topic_is_told_apart_though_the_answers_were_lost(data, others):
    """Pitfall 27: the client has the new epoch of a 409, and a cursor of before."""
    with Millrace(data) as server:
        for topic in ("t", *others):
            server.create(topic)
            server.append(topic, list(range(10)))
        member = Member(server, "g", "t", *others)
        cursor = member.take()["cursor"]
        server.delete("/v1/topics/t")
        server.create("t")
        server.append("t", list(range(100, 120)))
        for _ in range(2):
            # Both answers that tell of the change get lost.
            lost = member.poll(commit=cursor).json["memberEpoch"]
            member.epoch = member.poll(commit=cursor).json["memberEpoch"]
            assert member.epoch == lost
        assert member.assignment == {("t", 0), *((topic, 0) for topic in others)}
        for answer in (
            member.poll(cursor=cursor), member.poll(commit=cursor),
            member.poll(commit=cursor, cursor=cursor),
        ):
            values = [r["value"] for r in answer.json["records"] if r["topic"] == "t"]
            assert values == list(range(100, 120)), answer
        assert member.commit(cursor=cursor).status == 204
        assert committed(server, "g") == {(topic, 0): 10 for topic in others}
        with member.stream(cursor=cursor) as stream:
            assert json.loads(next(stream.iter_lines()))["value"] == 100
        member.leave()
        stale = call(server, "POST", "/v1/groups/g/offsets", json={"cursor": cursor})
        assert (stale.status, stale.code) == (410, "topic-recreated")


def test_a_member_commits_all_that_it_can_be_given(data):
    """20,000 partitions a group, a cursor and a commit, in topics of long names."""
    with Millrace(data, env={"MILLRACE_LOG_LEVEL": "warning"}) as server:
        names = [f"{number:03}" + "x" * 246 for number in range(8)]
        for name in names:
            server.create(name, partitions=1000)
        member = Member(server, "g", *names)
        page = member.take()
        assert len(member.assignment) == 8000 and page["cursor"].count(",") == 7999
        page = member.take(commit=page["cursor"], cursor=page["cursor"])
        assert member.commit(cursor=page["cursor"]).status == 204
        everything = [(topic, partition, 0) for topic, partition in sorted(member.assignment)]
        assert member.commit(*everything).status == 204
        assert len(offsets(server, "g")) == 8000
        member.leave()
        for count, status in ((20_000, 404), (20_001, 400)):
            cursor = ",".join(f"t/{partition}:0" for partition in range(count))
            answer = call(server, "POST", "/v1/groups/g/offsets", json={"cursor": cursor})
            assert answer.status == status, answer


def test_a_worker_that_commits_blindly_goes_on_when_a_topic_is_deleted(data):
    with Millrace(data) as server:
        server.create("t", partitions=2)
        server.create("u", partitions=2)
        for topic in ("t", "u"):
            fill(server, topic, 10, 2)
        member = Member(server, "g", "t", "u")
        cursor = member.take()["cursor"]
        server.delete("/v1/topics/t")
        assert blind(member, cursor) == []
        assert committed(server, "g") == {("u", 0): 5, ("u", 1): 5}
        server.create("t", partitions=2)
        fill(server, "t", 10, 2)
        assert sorted(blind(member, None)) == list(range(10))


# Connections that end


def test_clients_that_break_off_leave_no_descriptor_and_no_memory(data):
    """Pitfall 52: descriptors leak on a disconnect with data unread."""
    with Millrace(data) as server:
        server.create("t", partitions=4)
        fill(server, "t", 4000)
        member = Member(server, "g", "t", sessionTimeoutMs=60_000)
        body = f'{{"memberEpoch":{member.epoch},"waitMs":30000}}'
        poll = (
            f"POST {member.path}/poll HTTP/1.1\r\nHost: {server.host}:{server.port}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}").encode()
        stream = (
            f"GET {member.path}/records?memberEpoch={member.epoch} HTTP/1.1\r\n"
            f"Host: {server.host}:{server.port}\r\nAccept: text/event-stream\r\n\r\n").encode()

        def abort(count):
            for number in range(count):
                with socket.create_connection((server.host, server.port)) as connection:
                    connection.sendall((poll, stream, poll[:-3])[number % 3])
                    if number % 6 == 1:
                        connection.recv(100)

        def descriptors():
            return len(os.listdir(f"/proc/{server.process.pid}/fd"))

        def kilobytes():
            with open(f"/proc/{server.process.pid}/status") as status:
                return next(int(l.split()[1]) for l in status if l.startswith("VmRSS"))

        server.get("/livez")
        base = descriptors()
        abort(600)
        until(lambda: descriptors() <= base, 20)
        before = kilobytes()
        abort(2000)
        until(lambda: descriptors() <= base, 20)
        assert kilobytes() - before < 20_000
        # What has waited is gone from the coordinator as well: the next poll is the only one.
        page = member.take()
        while not page["caughtUp"]:
            page = member.take(commit=page["cursor"])
        member.take(commit=page["cursor"])
        waiting = member.waiting(waitMs=20_000)
        server.append("t", ["after"])
        assert [r["value"] for r in waiting.end().json["records"]] == ["after"]
