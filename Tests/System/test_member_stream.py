"""A member's partitions as a stream (DESIGN.md §5, "Groups"): a GET, so it never commits; being
connected is the heartbeat; it ends when the assignment changes."""

import itertools
import json
import time

import pytest
import requests
import sseclient

import contract
from groups import Member, call, committed, describe, members, settle
from millrace import Millrace, until

_numbers = itertools.count()
NDJSON, SSE = "application/x-ndjson", "text/event-stream"


@pytest.fixture
def group():
    return f"streaming-{next(_numbers)}"


def lines(member, stream):
    """The stream's lines as values, each as the contract says."""
    for line in stream.iter_lines(chunk_size=None):
        yield contract.check_line("GET", member.path + "/records", line)


def events(member, stream):
    for event in sseclient.SSEClient(stream).events():
        event.value = contract.check_event(member.path + "/records", event.event, event.data)
        yield event


def take(iterator, count):
    """The next `count` records, and the last other value in front of the last of them."""
    records = []
    for value in iterator:
        if "offset" in value:
            records.append(value)
        if len(records) == count:
            return records
    raise AssertionError(f"the stream ended behind {records}")


def fill(server, topic, first, count, partitions=4):
    server.append(topic, [
        {"value": n, "partition": n % partitions} for n in range(first, first + count)])


def test_lines_of_what_is_there_and_what_comes_until_the_assignment_changes(server, wide, group):
    fill(server, wide, 0, 20)
    member = Member(server, group, wide)
    with member.stream() as stream:
        assert stream.status_code == 200
        assert stream.headers["cache-control"] == "no-cache, no-transform"
        assert stream.headers["content-type"].split(";")[0] == NDJSON
        values = lines(member, stream)
        first = take(values, 20)
        assert {(r["topic"], r["value"]) for r in first} == {(wide, n) for n in range(20)}
        fill(server, wide, 20, 4)
        assert sorted(r["value"] for r in take(values, 4)) == [20, 21, 22, 23]
        other = Member(server, group, wide)
        last = list(values)
    assert last[-2] == {"assignmentChanged": True}
    place, _, tag = last[-1]["cursor"].partition("~")
    assert place == ",".join(f"{wide}/{p}:6" for p in range(4)) and len(tag) == 8
    assert committed(server, group) == {}, "a GET commits nothing"
    assert other.take()["assignment"] == [], "nor does it confirm anything"
    member.take(commit=last[-1]["cursor"])
    settle(member, other)
    assert sum(committed(server, group).values()) == 24


def test_events_end_with_the_assignment_and_resume_by_last_event_id(server, wide, group):
    fill(server, wide, 0, 8)
    member = Member(server, group, wide)
    with member.stream(SSE) as stream:
        seen = itertools.islice(
            (e for e in events(member, stream) if e.event == "record"), 5)
        seen = [(e.id, e.value) for e in seen]
    last_id = seen[-1][0]
    # A query as in the first request: the field wins.
    with member.stream(SSE, cursor=f"{wide}/0:0", **{"Last-Event-ID": last_id}) as stream:
        found, rest = events(member, stream), []
        while len(rest) < 3:
            event = next(found)
            if event.event == "record":
                rest.append(event.value)
        Member(server, group, wide)
        kinds = [e.event for e in found]
    assert "assignment-changed" in kinds
    values = [v["value"] for _, v in seen] + [v["value"] for v in rest]
    assert sorted(values) == list(range(8))


def test_it_begins_at_the_cursor_else_at_what_is_committed(server, topic, group):
    server.append(topic, list(range(10)))
    member = Member(server, group, topic)
    member.take(commit=f"{topic}/0:4")
    for cursor, wanted in ((None, 4), (f"{topic}/0:7", 7), ("other/0:7", 4)):
        with member.stream(cursor=cursor) as stream:
            assert next(lines(member, stream))["value"] == wanted


def test_max_records_ends_it(server, topic, group):
    server.append(topic, list(range(10)))
    member = Member(server, group, topic)
    answer = requests.get(
        server.base + member.path + f"/records?memberEpoch={member.epoch}&maxRecords=3",
        headers={"Accept": NDJSON}, timeout=20)
    assert [json.loads(v).get("value") for v in answer.iter_lines()] == [0, 1, 2, None]


def test_the_stream_is_the_heartbeat(server, topic, group):
    member = Member(server, group, topic, sessionTimeoutMs=1000)
    with member.stream() as stream:
        time.sleep(3)
        assert members(server, group) == {member.id}
        server.append(topic, ["late"])
        assert take(lines(member, stream), 1)[0]["value"] == "late"
    left = time.monotonic()
    until(lambda: not members(server, group))
    assert time.monotonic() - left < 4, "gone within its session, and no sooner than it went away"


def test_a_reader_that_is_slow_keeps_its_member_while_it_is_connected(server, topic, group):
    """What waits to be sent is no silence: the worker is busy with what it has."""
    for _ in range(12):
        server.append(topic, ["x" * 900_000])
    member = Member(server, group, topic, sessionTimeoutMs=1000)
    with member.stream() as stream:
        time.sleep(4)
        assert members(server, group) == {member.id}
        assert len(take(lines(member, stream), 12)) == 12


def test_a_stream_whose_epoch_owes_a_confirmation_sends_its_member_to_the_poll(server, wide, group):
    """A loop of polls and streams must not keep for ever what it was told to give up."""
    first = Member(server, group, wide)
    second = Member(server, group, wide)
    first.take()
    assert first.heartbeat().json["assignmentChanged"]
    with first.stream() as stream:
        assert {"assignmentChanged": True} in list(lines(first, stream))
    epoch = first.epoch
    first.take()
    assert first.epoch == epoch and not first.heartbeat().json["assignmentChanged"]
    second.take()
    assert len(second.assignment) == 2


def test_a_rejoin_ends_it_with_the_problem(server, topic, group):
    member = Member(server, group, topic, memberId="m")
    for accept in (NDJSON, SSE):
        with member.stream(accept) as stream:
            again = Member(server, group, topic, memberId="m")
            if accept == NDJSON:
                problem = next(v for v in lines(member, stream) if "problem" in v)["problem"]
            else:
                problem = next(e for e in events(member, stream) if e.event == "problem")
                problem = problem.value["problem"]
        assert problem["code"] == "fenced-instance-id" and "memberEpoch" not in problem
        member = again


def test_leaving_ends_it(server, topic, group):
    member = Member(server, group, topic)
    with member.stream() as stream:
        values = lines(member, stream)
        next(values)
        member.leave()
        assert any(v.get("problem", {}).get("code") == "unknown-member" for v in values)


def test_a_deleted_topic_ends_it_as_a_change(server, group):
    server.create("stream-deleted", partitions=2)
    member = Member(server, group, "stream-deleted")
    with member.stream() as stream:
        values = lines(member, stream)
        next(values)
        server.delete("/v1/topics/stream-deleted")
        assert {"assignmentChanged": True} in list(values)
    until(lambda: member.take()["assignment"] == [])


def test_a_member_without_partitions_streams_heartbeats(server, topic, group):
    holder = Member(server, group, topic)
    spare = Member(server, group, topic, sessionTimeoutMs=1000)
    with spare.stream() as stream:
        values = lines(spare, stream)
        assert [next(values), next(values)] == [{"cursor": ""}] * 2
        holder.leave()
        assert {"assignmentChanged": True} in list(values)


@pytest.mark.parametrize("query, status, code", [
    ("", 400, "invalid-parameter"), ("?memberEpoch=x", 400, "invalid-parameter"),
    ("?memberEpoch=99999", 409, "fenced-member-epoch"),
    ("?memberEpoch={}&cursor=0:1", 400, "invalid-cursor"),
    ("?memberEpoch={}&cursor={}/0:99", 416, "offset-out-of-range"),
    ("?memberEpoch={}&maxRecords=0", 400, "invalid-parameter"),
    ("?memberEpoch={}&waitMs=5", 400, "unknown-parameter"),
    ("?memberEpoch={}&from=latest", 400, "unknown-parameter"),
])
def test_what_cannot_be_streamed_is_a_4xx_and_no_stream(server, topic, group, query, status, code):
    member = Member(server, group, topic)
    path = member.path + "/records" + query.format(member.epoch, topic)
    answer = call(server, "GET", path, headers={"Accept": SSE})
    assert (answer.status, answer.code) == (status, code), answer


def test_its_form_must_be_one_of_a_stream(server, topic, group):
    member = Member(server, group, topic)
    path = f"{member.path}/records?memberEpoch={member.epoch}"
    assert call(server, "GET", path, headers={"Accept": "application/json"}).status == 406
    path = f"/v1/groups/{group}/members/nobody/records?memberEpoch=1"
    assert call(server, "GET", path, headers={"Accept": NDJSON}).code == "unknown-member"


def test_a_drain_ends_streams_with_their_cursor_and_polls_with_their_page(data):
    with Millrace(data) as server:
        server.create("t", partitions=2)
        member, other = Member(server, "g", "t"), Member(server, "h", "t")
        waiting = other.waiting(waitMs=60_000)
        with member.stream() as stream:
            values = lines(member, stream)
            next(values)
            time.sleep(0.2)
            started = time.monotonic()
            assert server.terminate() == 0
            assert time.monotonic() - started < 8
            assert list(values)[-1]["cursor"].partition("~")[0] == "t/0:0,t/1:0"
        assert waiting.end().json["records"] == []
    with Millrace(data) as server:
        member.server = server
        assert member.take()["memberEpoch"] == member.epoch
        assert describe(server, "g")["state"] == "stable"
