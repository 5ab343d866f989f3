"""Committed offsets of consumers that share the partitions out themselves (DESIGN.md §5, "Groups")."""

import time

import pytest

from millrace import Millrace


def commit(server, group, topic, *pairs, metadata=None):
    more = {} if metadata is None else {"metadata": metadata}
    offsets = [{"topic": topic, "partition": p, "offset": o, **more} for p, o in pairs]
    return server.post(f"/v1/groups/{group}/offsets", json={"offsets": offsets})


def committed(server, group):
    answer = server.get(f"/v1/groups/{group}/offsets")
    assert answer.status == 200, answer
    return {(o["topic"], o["partition"]): o["offset"] for o in answer.json["offsets"]}


def test_a_commit_is_fetched_with_its_lag(server, wide):
    server.append(wide, [{"value": n, "partition": n % 2} for n in range(20)])
    before = time.time() * 1000
    assert commit(server, "lagging", wide, (0, 3), (1, 10), metadata="note").status == 204
    offsets = {o["partition"]: o for o in server.get("/v1/groups/lagging/offsets").json["offsets"]}
    assert offsets[0]["lag"] == 7 and offsets[0]["endOffset"] == 10 and offsets[0]["offset"] == 3
    assert offsets[0]["metadata"] == "note" and offsets[0]["owner"] is None
    assert before - 1000 <= offsets[0]["committedAt"] <= time.time() * 1000 + 1000
    assert 0 <= offsets[0]["lagMs"] < 60_000
    assert (offsets[1]["lag"], offsets[1]["lagMs"]) == (0, 0)


def test_lag_in_milliseconds_is_the_age_of_the_first_record_not_processed(server, topic):
    hour_ago = int(time.time() * 1000) - 3_600_000
    server.append(topic, [1, {"value": 2, "timestamp": hour_ago}])
    commit(server, "aged", topic, (0, 1))
    offset = server.get("/v1/groups/aged/offsets").json["offsets"][0]
    assert 3_599_000 <= offset["lagMs"] < 3_700_000


def test_lag_counts_only_what_is_still_there(server, topic):
    """Pitfall 49: lag wrong after trimming."""
    server.append(topic, list(range(10)))
    commit(server, "trimmed", topic, (0, 2))
    server.delete(f"/v1/topics/{topic}/partitions/0/records?before=6")
    assert server.get("/v1/groups/trimmed/offsets").json["offsets"][0]["lag"] == 4


def test_a_cursor_is_a_commit(server, wide):
    server.append(wide, [{"value": n, "partition": n % 4} for n in range(40)])
    page = server.page(wide, "?maxRecords=10")
    answer = server.post("/v1/groups/c/offsets", json={"cursor": page["cursor"], "topic": wide})
    assert answer.status == 204
    assert sum(committed(server, "c").values()) == 10
    named = f"{wide}/0:1,{wide}/3:2"
    assert server.post("/v1/groups/d/offsets", json={"cursor": named}).status == 204
    assert committed(server, "d") == {(wide, 0): 1, (wide, 3): 2}


def test_committed_offsets_outlive_kill_9(data):
    """Pitfalls 34 and 35: acknowledged before durable; the replayed map is another."""
    with Millrace(data) as server:
        server.create("t", partitions=3)
        server.append("t", [{"value": n, "partition": n % 3} for n in range(30)])
        for offset in range(1, 11):
            commit(server, "g", "t", (0, offset), (1, 11 - offset))
        commit(server, "gone", "t", (0, 1))
        server.delete("/v1/groups/gone")
        before = server.get("/v1/groups/g/offsets").json
        commit(server, "last", "t", (2, 7))
        server.kill()
    with Millrace(data) as server:
        after = server.get("/v1/groups/g/offsets").json
        for offset in before["offsets"] + after["offsets"]:
            offset.pop("lagMs")
        assert after == before
        assert committed(server, "last") == {("t", 2): 7}
        assert {g["group"] for g in server.get("/v1/groups").json["groups"]} == {"g", "last"}


def test_a_valid_commit_may_go_back(server, topic):
    """Pitfall 44, decided as in Kafka."""
    server.append(topic, list(range(10)))
    commit(server, "back", topic, (0, 9))
    commit(server, "back", topic, (0, 4))
    assert committed(server, "back") == {(topic, 0): 4}


def test_a_commit_is_stored_whole_or_not_at_all(server, topic):
    server.append(topic, [1])
    for pair, code in (((0, 99), "offset-out-of-range"), ((7, 0), "unknown-partition")):
        assert commit(server, "whole", topic, (0, 1), pair).code == code
    assert server.get("/v1/groups/whole/offsets").code == "unknown-group"


@pytest.mark.parametrize(
    "body, code",
    [
        ({}, "missing-field"), ({"offsets": []}, "missing-field"),
        ({"offsets": 5}, "invalid-field"), ({"offsets": [5]}, "invalid-field"),
        ({"offsets": [{"topic": "t", "partition": 0}]}, "missing-field"),
        ({"offsets": [{"topic": "t", "partition": 0, "offset": -1}]}, "invalid-field"),
        ({"offsets": [{"topic": "t", "partition": 0, "offset": 1.5}]}, "invalid-field"),
        ({"offsets": [{"topic": "t", "partition": 0, "offset": 1, "leaderEpoch": 2}]}, "unknown-field"),
        ({"cursor": "0:x"}, "invalid-cursor"), ({"cursor": "0:0"}, "missing-field"),
        ({"cursor": "absent/0:0"}, "unknown-topic"),
        ({"cursor": "absent/0:0", "offsets": []}, None),
        ({"memberId": "m", "memberEpoch": 1, "offsets": []}, "missing-field"),
        ({"memberId": "m", "cursor": "t/0:0"}, "missing-field"),
        ({"offset": []}, "unknown-field"),
    ],
)
def test_a_commit_not_understood_is_refused(server, body, code):
    answer = server.post("/v1/groups/refused/offsets", json=body)
    assert answer.status >= 400
    assert code is None or answer.code == code, answer
    assert server.get("/v1/groups/refused").code == "unknown-group"


def test_metadata_over_its_limit_is_400(server, topic):
    assert commit(server, "meta", topic, (0, 0), metadata="x" * 4096).status == 204
    too_long = commit(server, "meta", topic, (0, 0), metadata="é" * 2049)
    assert (too_long.code, too_long.json["field"]) == ("invalid-field", "metadata")


def test_a_commit_of_a_recreated_topic_does_not_apply(server):
    """Pitfall 27: committed offsets belong to the topic's UUID."""
    server.create("reborn")
    server.append("reborn", [1, 2, 3])
    commit(server, "loyal", "reborn", (0, 3))
    cursor = server.page("reborn")["cursor"]
    server.delete("/v1/topics/reborn")
    server.create("reborn")
    server.append("reborn", [4])
    answer = server.get("/v1/groups/loyal/offsets")
    assert answer.code == "unknown-group" or answer.json["offsets"] == []
    stale = server.post("/v1/groups/loyal/offsets", json={"cursor": cursor, "topic": "reborn"})
    assert (stale.status, stale.code) == (410, "topic-recreated")


def test_groups_are_listed_described_and_deleted(server, topic):
    commit(server, "seen", topic, (0, 0))
    wanted = {"group": "seen", "state": "empty", "members": []}
    listed = {"group": "seen", "state": "empty", "memberCount": 0}
    assert listed in server.get("/v1/groups").json["groups"]
    assert server.get("/v1/groups/seen").json == wanted
    assert server.delete("/v1/groups/seen").status == 204
    for answer in (
        server.get("/v1/groups/seen"), server.get("/v1/groups/seen/offsets"),
        server.delete("/v1/groups/seen"),
    ):
        assert answer.code == "unknown-group"


@pytest.mark.parametrize("name", ["a%20b", "g" * 250, "%2F"])
def test_a_group_name_that_is_none_is_400(server, name):
    assert server.get(f"/v1/groups/{name}").code in ("invalid-name", "unknown-route")


# Reset

def reset(server, group, body, query=""):
    return server.put(f"/v1/groups/{group}/offsets{query}", json=body)


def test_reset_to_earliest_latest_and_a_time(server, topic):
    server.append(topic, [{"value": n, "timestamp": 1000 + n} for n in range(10)])
    server.delete(f"/v1/topics/{topic}/partitions/0/records?before=2")
    commit(server, "reset", topic, (0, 5))
    for target, wanted in (("earliest", 2), ("latest", 10), (1007, 7), (99999, 10)):
        previous = committed(server, "reset")[(topic, 0)]
        answer = reset(server, "reset", {"to": target})
        assert answer.json == {"dryRun": False, "offsets": [
            {"topic": topic, "partition": 0, "offset": wanted, "previousOffset": previous}]}
        assert committed(server, "reset") == {(topic, 0): wanted}


def test_a_short_reset_does_not_stand_for_millions_of_offsets(server, wide):
    """API4: 10,000 names of 6 partitions each, which nobody could commit, are not looked up."""
    answer = server.put(
        f"/v1/groups/{wide}-reset/offsets?dryRun=true",
        json={"to": "earliest", "topics": [wide] * 10_000})
    assert (answer.status, answer.code) == (400, "invalid-field")


def test_a_dry_run_says_and_does_nothing(server, topic):
    server.append(topic, [1, 2])
    commit(server, "dry", topic, (0, 1))
    answer = reset(server, "dry", {"to": "latest"}, "?dryRun=true").json
    assert answer["dryRun"] and answer["offsets"][0]["offset"] == 2
    assert committed(server, "dry") == {(topic, 0): 1}


def test_reset_to_given_offsets_and_of_chosen_topics(server, topic, wide):
    server.append(topic, [1, 2, 3])
    commit(server, "chosen", topic, (0, 3))
    offsets = [{"topic": topic, "partition": 0, "offset": 1}]
    assert reset(server, "chosen", {"offsets": offsets}).status == 200
    assert committed(server, "chosen") == {(topic, 0): 1}
    assert reset(server, "chosen", {"to": "earliest", "topics": [wide]}).status == 200
    assert committed(server, "chosen") == {(topic, 0): 1, **{(wide, p): 0 for p in range(4)}}


def test_a_reset_of_a_group_that_is_not_there_is_404(server, topic):
    """Rather a name that was not meant than a group to make; with its topics given it is one."""
    for query in ("", "?dryRun=true"):
        for target in ("latest", "earliest", 5):
            answer = reset(server, "absent", {"to": target}, query)
            assert (answer.status, answer.code) == (404, "unknown-group"), answer
    assert server.get("/v1/groups/absent").code == "unknown-group"
    assert reset(server, "made", {"to": "earliest", "topics": [topic]}).status == 200
    assert committed(server, "made") == {(topic, 0): 0}


@pytest.mark.parametrize("body, code", [
    ({}, "missing-field"), ({"to": "yesterday"}, "invalid-field"), ({"to": -1}, "invalid-field"),
    ({"to": "latest", "offsets": []}, "missing-field"), ({"to": "latest", "extra": 1}, "unknown-field"),
    ({"to": "latest", "topics": ["absent"]}, "unknown-topic"),
])
def test_a_reset_not_understood_is_refused(server, topic, body, code):
    commit(server, "kept", topic, (0, 0))
    assert reset(server, "kept", body).code == code
    assert reset(server, "kept", {"to": "latest"}, "?dryRun=maybe").code == "invalid-parameter"
