"""Members of consumer groups: join, poll, heartbeat, commit, leave (DESIGN.md §5, "Groups")."""

import itertools
import socket
import time

import pytest

from groups import Member, call, committed, describe, join, members, offsets, places, settle
from millrace import until

_numbers = itertools.count()


@pytest.fixture
def group():
    return f"group-{next(_numbers)}"


def all_of(topic, count=4):
    return {(topic, p) for p in range(count)}


def fill(server, topic, count=20, partitions=4):
    server.append(topic, [{"value": n, "partition": n % partitions} for n in range(count)])


def values(page):
    return sorted(r["value"] for r in page["records"])


# Join


def test_the_first_member_gets_all_at_once(server, wide, group):
    first = Member(server, group, wide)
    assert first.joined["memberEpoch"] >= 1 and first.joined["heartbeatIntervalMs"] == 15_000
    assert first.joined["assignment"] == [{"topic": wide, "partitions": [0, 1, 2, 3]}]
    assert len(first.id) > 20


def test_a_second_member_gets_its_share_only_when_the_first_has_let_go(server, wide, group):
    """Pitfall 38: a partition is given on while its old owner still works."""
    first = Member(server, group, wide)
    second = Member(server, group, wide)
    assert second.assignment == set()
    assert second.take()["assignment"] == []
    assert first.heartbeat().json["assignmentChanged"]
    first.take()
    assert len(first.assignment) == 2 and second.take()["assignment"] == []
    first.take()
    second.take()
    assert second.assignment == all_of(wide) - first.assignment
    assert describe(server, group)["state"] == "stable"


def test_a_static_member_keeps_its_partitions_over_a_rejoin_and_fences_its_old_self(
    server, wide, group
):
    one = Member(server, group, wide, memberId="web-1")
    two = Member(server, group, wide, memberId="web-2")
    settle(one, two)
    again = Member(server, group, wide, memberId="web-1")
    assert again.id == "web-1" and again.epoch > one.epoch
    assert again.assignment == one.assignment
    for _ in range(2):
        for fenced in (one.poll(commit=f"{wide}/0:0"), one.heartbeat(), one.commit((wide, 0, 0))):
            assert (fenced.status, fenced.code) == (409, "fenced-instance-id")
            # Nothing by which the fenced process could go on beside the other.
            assert "memberEpoch" not in fenced.json and str(again.epoch) not in fenced.json["detail"]
            assert "assignment" not in fenced.json
    assert committed(server, group) == {}
    assert two.heartbeat().json == {"memberEpoch": two.epoch, "assignmentChanged": False}


def test_a_rejoin_with_other_topics_changes_the_assignment(server, wide, topic, group):
    Member(server, group, wide, memberId="m")
    again = Member(server, group, topic, memberId="m")
    assert again.assignment == {(topic, 0)}
    assert Member(server, group, wide, topic, memberId="m").assignment == {
        (topic, 0), *all_of(wide)}


def test_a_member_may_wait_for_a_topic_that_does_not_exist_yet(server, group):
    early = Member(server, group, "to-come")
    assert early.assignment == set()
    waiting = early.waiting(waitMs=30_000)
    until(lambda: describe(server, group))
    server.create("to-come", partitions=2)
    page = waiting.end().json
    assert places(page["assignment"]) == {("to-come", 0), ("to-come", 1)}
    assert page["memberEpoch"] > early.epoch


@pytest.mark.parametrize("assignor, shares", [
    ("range", [{0, 1}, {2, 3}]), ("roundrobin", [{0, 2}, {1, 3}]),
])
def test_the_assignor_says_who_gets_what(server, wide, group, assignor, shares):
    both = [Member(server, group, wide, memberId=m, assignor=assignor) for m in ("a", "b")]
    settle(*both)
    assert [{p for _, p in m.assignment} for m in both] == shares
    assert describe(server, group)["assignor"] == assignor


@pytest.mark.parametrize("body, code, field", [
    ({}, "missing-field", "topics"), ({"topics": []}, "missing-field", "topics"),
    ({"topics": "t"}, "invalid-field", "topics"), ({"topics": [5]}, "invalid-field", "topics"),
    ({"topics": ["a b"]}, "invalid-name", None), ({"topics": [".."]}, "invalid-name", None),
    ({"topics": ["t"] * 1001}, "invalid-field", "topics"),
    ({"topics": ["t"], "memberId": "a b"}, "invalid-name", None),
    ({"topics": ["t"], "memberId": ""}, "invalid-name", None),
    ({"topics": ["t"], "memberId": "m" * 250}, "invalid-name", None),
    ({"topics": ["t"], "memberId": 5}, "invalid-field", "memberId"),
    ({"topics": ["t"], "sessionTimeoutMs": 999}, "invalid-field", "sessionTimeoutMs"),
    ({"topics": ["t"], "sessionTimeoutMs": 1_800_001}, "invalid-field", "sessionTimeoutMs"),
    ({"topics": ["t"], "sessionTimeoutMs": 1e400}, "invalid-field", "sessionTimeoutMs"),
    ({"topics": ["t"], "rebalanceTimeoutMs": 0}, "invalid-field", "rebalanceTimeoutMs"),
    ({"topics": ["t"], "assignor": "fair"}, "invalid-field", "assignor"),
    ({"topics": ["t"], "startFrom": "middle"}, "invalid-field", "startFrom"),
    ({"topics": ["t"], "instanceId": "x"}, "unknown-field", "instanceId"),
])
def test_a_join_not_understood_is_refused_and_leaves_no_group(server, group, body, code, field):
    text = str(body).replace("'", '"').replace("inf", "1e400")
    answer = call(server, "POST", f"/v1/groups/{group}/members", data=text)
    assert (answer.status, answer.code) == (400, code), answer
    assert answer.json.get("field") == field
    assert describe(server, group) is None


def test_the_bounds_of_a_session_are_taken(server, group):
    for session in (1_000, 1_800_000):
        answer = join(server, group, "t", memberId="m", sessionTimeoutMs=session)
        assert answer.json["heartbeatIntervalMs"] == session // 3


def test_a_name_that_is_none_is_refused(server, topic):
    assert join(server, "a%20b", topic).code == "invalid-name"
    path = "/v1/groups/g/members/a%20b/poll"
    assert call(server, "POST", path, json={"memberEpoch": 1}).code == "invalid-name"


# Poll


def test_a_poll_reads_from_the_start_and_can_be_repeated(server, wide, group):
    fill(server, wide)
    member = Member(server, group, wide)
    page = member.take()
    assert values(page) == list(range(20)) and page["caughtUp"]
    assert {r["topic"] for r in page["records"]} == {wide}
    assert member.take() == page
    assert page["cursor"].partition("~")[0] == ",".join(f"{wide}/{p}:5" for p in range(4))


def test_a_commit_is_where_the_next_poll_begins_and_the_cursor_goes_before_it(server, wide, group):
    fill(server, wide)
    member = Member(server, group, wide)
    page = member.take(maxRecords=8)
    assert len(page["records"]) == 8 and not page["caughtUp"]
    rest = member.take(commit=page["cursor"])
    assert values(page) + values(rest) and sorted(values(page) + values(rest)) == list(range(20))
    assert sum(committed(server, group).values()) == 8
    # Without a commit the cursor alone carries on, and what is committed stays.
    assert member.take(cursor=rest["cursor"])["records"] == []
    assert values(member.take()) == values(rest)
    # What the cursor leaves out is read from what is committed; what is not the member's is nothing.
    part = member.take(cursor=f"{wide}/0:5,other/9:1")
    assert values(part) == sorted(v for v in values(rest) if v % 4 != 0)


def test_a_commit_goes_with_a_cursor_of_its_own(server, topic, group):
    server.append(topic, list(range(10)))
    member = Member(server, group, topic)
    page = member.take(commit=f"{topic}/0:3", cursor=f"{topic}/0:7")
    assert values(page) == [7, 8, 9] and committed(server, group) == {(topic, 0): 3}


def test_start_from_latest_writes_down_where_it_began(server, topic, group):
    server.append(topic, [1, 2, 3])
    member = Member(server, group, topic, startFrom="latest")
    assert member.take()["records"] == [] and committed(server, group) == {(topic, 0): 3}
    server.append(topic, [4])
    assert values(member.take()) == [4], "what came between two polls is not skipped"
    other = Member(server, group + "-cursor", topic, startFrom="latest")
    assert values(other.take(cursor=f"{topic}/0:1")) == [2, 3, 4]


def test_latest_skips_nothing_of_what_comes_after_the_group_began_to_read(server, group):
    one, two = f"{group}-one", f"{group}-two"
    server.create(one, partitions=2)
    server.append(one, [{"value": "old", "partition": p} for p in (0, 1)])
    members = [Member(server, group, one, two, startFrom="latest") for _ in range(2)]
    settle(*members)
    server.patch(f"/v1/topics/{one}", json={"partitions": 3})
    server.create(two)
    server.append(one, [{"value": "grown", "partition": 2}])
    server.append(two, ["came"])
    seen, cursors = [], {}
    for _ in range(6):
        for member in members:
            page = member.take(commit=cursors.get(member, ""))
            cursors[member] = page["cursor"]
            seen += values(page)
    assert sorted(seen) == ["came", "grown"]
    for member in members:
        member.leave()
    # The group is empty, and has committed: it goes on, and with what grew meanwhile as well.
    server.patch(f"/v1/topics/{one}", json={"partitions": 4})
    server.append(one, [{"value": "alone", "partition": 3}])
    assert "alone" in values(Member(server, group, one, two, startFrom="latest").take())


def test_what_is_committed_goes_before_start_from(server, topic, group):
    server.append(topic, [1, 2, 3])
    first = Member(server, group, topic)
    first.take(commit=f"{topic}/0:1")
    first.leave()
    assert values(Member(server, group, topic, startFrom="latest").take()) == [2, 3]


def test_the_limits_of_a_page(server, topic, group):
    server.append(topic, ["x" * 1000] * 20)
    member = Member(server, group, topic)
    assert len(member.take(maxRecords=3)["records"]) == 3
    assert 4 <= len(member.take(maxBytes=6_000)["records"]) <= 6
    assert len(member.take(maxBytes=1)["records"]) == 1, "one record at least"
    assert len(member.take(maxRecords=10**18, maxBytes=10**18, waitMs=10**18)["records"]) == 20


def test_a_lost_answer_with_a_new_epoch_is_told_again_and_the_last_commit_is_taken(
    server, wide, group
):
    """Pitfall 33: a commit during a rebalance is stored or refused, never 200 and lost."""
    fill(server, wide)
    first = Member(server, group, wide)
    cursor = first.take()["cursor"]
    second = Member(server, group, wide)
    lost = first.poll(commit=",".join(f"{wide}/{p}:1" for p in range(4)))
    assert lost.json["memberEpoch"] > first.epoch
    assert committed(server, group) == {(wide, p): 1 for p in range(4)}
    again = first.poll(commit=cursor)
    assert (again.status, again.code) == (409, "fenced-member-epoch")
    assert again.json["memberEpoch"] == lost.json["memberEpoch"]
    assert again.json["assignment"] == lost.json["assignment"]
    assert committed(server, group) == {(wide, p): 1 for p in range(4)}, "nothing was stored"
    first.epoch = again.json["memberEpoch"]
    assert second.take()["assignment"] == [], "the first has not said that it let go"
    for _ in range(2):
        page = first.take(commit=cursor)
        assert committed(server, group) == {(wide, p): 5 for p in range(4)}
    second.take()
    assert places(page["assignment"]) | second.assignment == all_of(wide)
    # Once it is let go, another commit for it is refused whole.
    gone = sorted(second.assignment)[0]
    refused = first.poll(commit=f"{gone[0]}/{gone[1]}:2")
    assert (refused.status, refused.code) == (409, "partition-not-assigned")
    assert (refused.json["topic"], refused.json["partition"]) == gone
    assert committed(server, group)[gone] == 5


@pytest.mark.parametrize("body, code", [
    ({}, "missing-field"), ({"memberEpoch": -1}, "invalid-field"),
    ({"memberEpoch": "5"}, "invalid-field"), ({"memberEpoch": 1.5}, "invalid-field"),
    ({"memberEpoch": 1, "commit": "0:1"}, "invalid-cursor"),
    ({"memberEpoch": 1, "cursor": "0:1"}, "invalid-cursor"),
    ({"memberEpoch": 1, "commit": "t/0:-1"}, "invalid-cursor"),
    ({"memberEpoch": 1, "commit": "t/0:99999999999999999999"}, "invalid-cursor"),
    ({"memberEpoch": 1, "commit": "t/0:1,t/0:2"}, "invalid-cursor"),
    ({"memberEpoch": 1, "commit": ["t/0:1"]}, "invalid-field"),
    ({"memberEpoch": 1, "maxRecords": 0}, "invalid-field"),
    ({"memberEpoch": 1, "maxBytes": -1}, "invalid-field"),
    ({"memberEpoch": 1, "waitMs": -1}, "invalid-field"),
    ({"memberEpoch": 1, "wait": 1}, "unknown-field"),
])
def test_a_poll_not_understood_is_refused(server, topic, group, body, code):
    member = Member(server, group, topic)
    answer = call(server, "POST", member.path + "/poll", json=body)
    assert (answer.status, answer.code) == (400, code), answer


def test_a_commit_past_the_end_is_refused_whole(server, wide, group):
    fill(server, wide)
    member = Member(server, group, wide)
    answer = member.poll(commit=f"{wide}/0:1,{wide}/1:6")
    assert (answer.status, answer.code) == (416, "offset-out-of-range")
    assert (answer.json["topic"], answer.json["partition"], answer.json["latestOffset"]) == (wide, 1, 5)
    assert committed(server, group) == {}


def test_trimmed_records_are_410_and_a_cursor_goes_on(server, wide, group):
    fill(server, wide)
    member = Member(server, group, wide)
    member.take(commit=f"{wide}/2:1")
    server.delete(f"/v1/topics/{wide}/partitions/2/records?before=3")
    answer = member.poll()
    assert (answer.status, answer.code) == (410, "offset-trimmed")
    assert (answer.json["topic"], answer.json["partition"]) == (wide, 2)
    assert answer.json["earliestOffset"] == 3
    assert len(member.take(cursor=f"{wide}/2:3")["records"]) == 17
    # Where nothing was committed the start is where the records begin.
    server.delete(f"/v1/topics/{wide}/partitions/0/records?before=2")
    assert len(member.take(commit=f"{wide}/2:3")["records"]) == 15


# Long-poll


def test_a_long_poll_returns_at_the_first_record(server, wide, group):
    """Pitfall 47: lost wake-up, and an early empty answer."""
    member = Member(server, group, wide)
    cursor = member.take()["cursor"]
    for value in range(30):
        waiting = member.waiting(waitMs=30_000, commit=cursor)
        server.append(wide, [{"value": value, "partition": value % 4}])
        page = waiting.end().json
        assert values(page) == [value]
        cursor = page["cursor"]


def test_a_long_poll_without_records_ends_at_its_deadline(server, topic, group):
    member = Member(server, group, topic)
    before = time.monotonic()
    page = member.take(waitMs=400)
    assert 0.4 <= time.monotonic() - before < 10
    assert page["records"] == [] and page["caughtUp"]


def test_a_long_poll_returns_at_once_when_the_assignment_changes(server, wide, group):
    first = Member(server, group, wide)
    waiting = first.waiting(waitMs=30_000)
    second = Member(server, group, wide)
    page = waiting.end().json
    assert len(places(page["assignment"])) == 2 and page["memberEpoch"] > first.epoch
    first.epoch = page["memberEpoch"]
    waiting = second.waiting(waitMs=30_000)
    first.take()
    assert len(places(waiting.end().json["assignment"])) == 2


def test_a_long_poll_returns_when_its_topic_grows_is_deleted_and_comes_again(server, group):
    server.create("moving", partitions=1)
    member = Member(server, group, "moving")
    for change, wanted in (
        (lambda: server.patch("/v1/topics/moving", json={"partitions": 3}), {0, 1, 2}),
        (lambda: server.delete("/v1/topics/moving"), set()),
        (lambda: server.create("moving", partitions=2), {0, 1}),
    ):
        waiting = member.waiting(waitMs=30_000)
        time.sleep(0.1)
        change()
        answer = waiting.end()
        assert answer.status == 200, answer
        page = answer.json
        assert places(page["assignment"]) == {("moving", p) for p in wanted}, page
        member.epoch = page["memberEpoch"]
        assert member.take()["memberEpoch"] == page["memberEpoch"]


def test_a_newer_poll_ends_the_older_one(server, topic, group):
    member = Member(server, group, topic)
    older = member.waiting(waitMs=30_000)
    time.sleep(0.2)
    newer = member.waiting(waitMs=30_000)
    answer = older.end()
    assert (answer.status, answer.code) == (409, "superseded-poll")
    server.append(topic, [1])
    assert values(newer.end().json) == [1]


def test_a_poll_of_a_stale_epoch_does_not_end_the_one_that_waits(server, topic, group):
    old = Member(server, group, topic, memberId="m")
    new = Member(server, group, topic, memberId="m")
    waiting = new.waiting(waitMs=30_000)
    time.sleep(0.2)
    assert old.poll(waitMs=1000).code == "fenced-instance-id"
    server.append(topic, [1])
    assert values(waiting.end().json) == [1]


def test_leaving_and_rejoining_end_a_poll_that_waits(server, topic, group):
    member = Member(server, group, topic, memberId="m")
    waiting = member.waiting(waitMs=30_000)
    time.sleep(0.2)
    Member(server, group, topic, memberId="m")
    assert waiting.end().code == "fenced-instance-id"
    member = Member(server, group, topic, memberId="m")
    waiting = member.waiting(waitMs=30_000)
    time.sleep(0.2)
    assert member.leave().status == 204
    assert waiting.end().code == "unknown-member"


def test_a_long_poll_keeps_its_member_alive_and_a_client_that_went_away_does_not(
    server, topic, group
):
    member = Member(server, group, topic, sessionTimeoutMs=1000)
    assert member.take(waitMs=2500)["records"] == []
    assert member.take()["memberEpoch"] == member.epoch, "it lives after 2.5 sessions of waiting"
    body = f'{{"memberEpoch":{member.epoch},"waitMs":60000}}'
    with socket.create_connection((server.host, server.port)) as connection:
        connection.sendall(
            f"POST {member.path}/poll HTTP/1.1\r\nHost: {server.host}:{server.port}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
        time.sleep(1.5)
        assert members(server, group) == {member.id}
    left = time.monotonic()
    until(lambda: not members(server, group))
    assert time.monotonic() - left < 4
    assert member.poll().code == "unknown-member"


def test_a_member_without_partitions_waits_as_well(server, topic, group):
    holder = Member(server, group, topic)
    spare = Member(server, group, topic)
    waiting = spare.waiting(waitMs=30_000)
    time.sleep(0.2)
    holder.leave()
    assert places(waiting.end().json["assignment"]) == {(topic, 0)}


# Heartbeat, silence, leave


def test_heartbeats_keep_a_member_and_silence_ends_it(server, topic, group):
    member = Member(server, group, topic, sessionTimeoutMs=1000)
    for _ in range(8):
        time.sleep(0.3)
        assert member.heartbeat().json == {"memberEpoch": member.epoch, "assignmentChanged": False}
    until(lambda: not members(server, group), 5)
    assert member.heartbeat().code == "unknown-member"
    assert member.poll().status == 404


@pytest.mark.parametrize("body, code", [
    ({}, "missing-field"), ({"memberEpoch": "1"}, "invalid-field"), ({"memberEpoch": 1, "x": 1}, "unknown-field"),
])
def test_a_heartbeat_not_understood_is_refused(server, topic, group, body, code):
    member = Member(server, group, topic)
    assert call(server, "POST", member.path + "/heartbeat", json=body).code == code


def test_a_heartbeat_confirms_nothing_and_the_rebalance_timeout_ends_who_only_sends_those(
    server, wide, group
):
    first = Member(server, group, wide, sessionTimeoutMs=2000, rebalanceTimeoutMs=1500)
    second = Member(server, group, wide)
    until(lambda: first.heartbeat().status == 404 or time.sleep(0.2), 10)
    second.take()
    assert second.assignment == all_of(wide)
    assert "did not poll" in describe(server, group)["reason"]


def test_who_leaves_gives_all_to_the_others_at_once(server, wide, group):
    first, second = Member(server, group, wide), Member(server, group, wide)
    settle(first, second)
    assert first.leave().status == 204
    second.take()
    assert second.assignment == all_of(wide)
    assert first.leave().code == "unknown-member"
    assert first.poll().code == "unknown-member"
    assert first.commit((wide, 0, 0)).code == "unknown-member"


def test_epochs_never_come_again(server, wide, group):
    seen = []
    for _ in range(3):
        member = Member(server, group, wide, memberId="m")
        seen.append(member.epoch)
        member.leave()
        assert describe(server, group) is None
    assert seen == sorted(set(seen))
    assert member.poll().code == "unknown-member"


# Commit between polls, reset, delete


def test_a_commit_of_a_member_needs_its_epoch_and_its_partition(server, wide, group):
    fill(server, wide)
    first, second = Member(server, group, wide), Member(server, group, wide)
    settle(first, second)
    mine, theirs = sorted(first.assignment)[0], sorted(second.assignment)[0]
    assert first.commit((*mine, 3)).status == 204
    assert committed(server, group) == {mine: 3}
    for answer, status, code in (
        (first.commit((*mine, 4), epoch=first.epoch - 1), 409, "fenced-member-epoch"),
        (first.commit((*mine, 4), epoch=first.epoch + 1), 409, "fenced-member-epoch"),
        (first.commit((*mine, 4), (*theirs, 4)), 409, "partition-not-assigned"),
        (first.commit((*mine, 4), (wide, 99, 4)), 409, "partition-not-assigned"),
        (first.commit((*mine, 4), ("absent", 0, 4)), 404, "unknown-topic"),
        (first.commit((*mine, 6)), 416, "offset-out-of-range"),
    ):
        assert (answer.status, answer.code) == (status, code), answer
    assert committed(server, group) == {mine: 3}
    cursor = f"{mine[0]}/{mine[1]}:5"
    assert first.commit(cursor=cursor).status == 204
    assert committed(server, group) == {mine: 5}
    entry = offsets(server, group)[mine]
    assert (entry["owner"], entry["endOffset"], entry["lag"]) == (first.id, 5, 0)


def test_half_a_member_is_refused(server, topic, group):
    for body in ({"memberId": "m"}, {"memberEpoch": 1}):
        answer = call(server, "POST", f"/v1/groups/{group}/offsets", json={"cursor": f"{topic}/0:0", **body})
        assert (answer.status, answer.code) == (400, "missing-field")


def test_a_commit_keeps_its_member_alive(server, topic, group):
    member = Member(server, group, topic, sessionTimeoutMs=1000)
    for _ in range(6):
        time.sleep(0.3)
        assert member.commit((topic, 0, 0)).status == 204


def test_only_an_empty_group_is_reset_deleted_or_committed_for_by_others(server, topic, group):
    server.append(topic, [1, 2])
    member = Member(server, group, topic)
    path = f"/v1/groups/{group}"
    for method, more, body in (
        ("POST", "/offsets", {"cursor": f"{topic}/0:1"}), ("DELETE", "", None),
        ("PUT", "/offsets", {"to": "latest", "topics": [topic]}),
        ("PUT", "/offsets?dryRun=true", {"to": "latest", "topics": [topic]}),
    ):
        answer = call(server, method, path + more, json=body)
        assert (answer.status, answer.code) == (409, "group-not-empty"), (method, more, answer)
    assert committed(server, group) == {}
    member.take(commit=f"{topic}/0:1")
    member.leave()
    assert describe(server, group)["state"] == "empty"
    assert call(server, "PUT", path + "/offsets", json={"to": "latest"}).status == 200
    assert committed(server, group) == {(topic, 0): 2}
    assert call(server, "DELETE", path).status == 204 and describe(server, group) is None


# Describe and list


def test_describe_says_who_owns_what_since_when_and_why(server, wide, group):
    before = time.time() * 1000 - 2000
    first = Member(server, group, wide, memberId="web-1")
    alone = describe(server, group)
    assert alone["state"] == "stable" and alone["assignor"] == "sticky"
    assert alone["reason"] == "member web-1 joined"
    second = Member(server, group, wide, memberId="web-2", sessionTimeoutMs=5000, startFrom="latest")
    asked = describe(server, group)
    assert asked["state"] == "rebalancing" and asked["reason"] == "member web-2 joined"
    assert len(places(asked["members"]["web-2"]["pending"])) == 2
    assert asked["members"]["web-2"]["sessionTimeoutMs"] == 5000
    assert asked["members"]["web-2"]["startFrom"] == "latest"
    first.take()
    told = describe(server, group)["members"]
    assert len(places(told["web-1"]["revoking"])) == 2 == len(places(told["web-1"]["assignment"]))
    assert told["web-1"]["reason"] == "member web-2 joined"
    settle(first, second)
    final = describe(server, group)
    assert final["state"] == "stable"
    for member in (first, second):
        entry = final["members"][member.id]
        assert (entry["memberEpoch"], places(entry["assignment"])) == (member.epoch, member.assignment)
        assert entry["revoking"] == entry["pending"] == [] and entry["topics"] == [wide]
        assert before <= entry["joinedAt"] <= entry["since"] <= time.time() * 1000 + 2000
    listed = {g["group"]: g for g in call(server, "GET", "/v1/groups").json["groups"]}
    assert listed[group] == {"group": group, "state": "stable", "memberCount": 2}


def test_a_rebalance_of_one_group_blocks_no_other(server, wide, group):
    stuck = Member(server, group, wide)
    Member(server, group, wide)
    assert describe(server, group)["state"] == "rebalancing"
    before = time.monotonic()
    for number in range(32):
        other = Member(server, f"{group}-other-{number}", wide)
        assert other.assignment == all_of(wide) and other.take()["caughtUp"]
        other.leave()
    assert time.monotonic() - before < 20
    assert stuck.heartbeat().json["assignmentChanged"]
