"""Topics over HTTP (DESIGN.md §5, "Topics", and "Cases decided")."""

import pytest

from http2 import END_HEADERS, END_STREAM, HEADERS, Connection, frame
from millrace import Millrace


def test_a_topic_is_described_as_it_was_created(server):
    created = server.create("described", partitions=3, retentionMs=60000, segmentBytes=1 << 20)
    assert created["configuration"] == {
        "retentionMs": 60000, "retentionBytes": None, "cleanupPolicy": "delete",
        "segmentBytes": 1 << 20, "maxRecordBytes": 1 << 20, "replicationFactor": 1,
        "minInsyncReplicas": 1, "deleteRetentionMs": 86400000, "compressionType": "none",
    }
    assert [p["partition"] for p in created["partitions"]] == [0, 1, 2]
    for partition in created["partitions"]:
        assert (partition["leader"], partition["replicas"], partition["isr"]) == (0, [0], [0])
        assert (partition["logStartOffset"], partition["highWatermark"]) == (0, 0)
    assert server.get("/v1/topics/described").json == created
    assert created in server.get("/v1/topics").json["topics"]


def test_putting_the_same_topic_again_is_200_and_another_409(server):
    server.create("twice", partitions=2)
    assert server.put("/v1/topics/twice", json={"partitions": 2}).status == 200
    assert server.put("/v1/topics/twice", json={"partitions": 3}).code == "topic-exists"
    other = server.put("/v1/topics/twice", json={"partitions": 2, "retentionMs": 5})
    assert other.code == "topic-exists"


def test_an_empty_body_takes_the_defaults(server):
    answer = server.put("/v1/topics/plain")
    assert answer.status == 201
    assert len(answer.json["partitions"]) == 1


def test_patch_changes_what_it_names_and_nothing_else(server):
    """Pitfall 21: configuration reset by another change (KAFKA-9254)."""
    before = server.create("patched", retentionBytes=1 << 30, maxRecordBytes=1000)["configuration"]
    answer = server.patch("/v1/topics/patched", json={"retentionMs": None, "partitions": 4})
    assert answer.status == 200
    assert answer.json["configuration"] == {**before, "retentionMs": None}
    assert len(answer.json["partitions"]) == 4


def test_partitions_never_shrink(server):
    server.create("shrinking", partitions=3)
    answer = server.patch("/v1/topics/shrinking", json={"partitions": 2})
    assert answer.code == "invalid-configuration"
    assert answer.json["field"] == "partitions"


@pytest.mark.parametrize(
    "body, code, field",
    [
        ({"replicationFactor": 3}, "invalid-configuration", "replicationFactor"),
        ({"minInsyncReplicas": 2}, "invalid-configuration", "minInsyncReplicas"),
        ({"partitions": 0}, "invalid-field", "partitions"),
        ({"partitions": -1}, "invalid-field", "partitions"),
        ({"partitions": 1.5}, "invalid-field", "partitions"),
        ({"partitions": "3"}, "invalid-field", "partitions"),
        ({"partitions": 1001}, "invalid-configuration", "partitions"),
        ({"retentionMs": 0}, "invalid-field", "retentionMs"),
        ({"segmentBytes": 1}, "invalid-configuration", "segmentBytes"),
        ({"maxRecordBytes": 1 << 30}, "invalid-configuration", "maxRecordBytes"),
        ({"cleanupPolicy": "shred"}, "invalid-field", "cleanupPolicy"),
        ({"compressionType": "zstd"}, "invalid-field", "compressionType"),
        ({"deleteRetentionMs": -1}, "invalid-field", "deleteRetentionMs"),
        ({"retention": 5}, "unknown-field", "retention"),
    ],
)
def test_a_configuration_not_taken_is_400_and_names_the_field(server, body, code, field):
    answer = server.put("/v1/topics/misconfigured", json=body)
    assert (answer.status, answer.code, answer.json["field"]) == (400, code, field)
    assert server.get("/v1/topics/misconfigured").code == "unknown-topic"


def test_replicas_are_refused_with_a_word_about_kafka(server):
    answer = server.put("/v1/topics/replicated", json={"replicationFactor": 3})
    assert "Kafka" in answer.json["detail"]


@pytest.mark.parametrize("name", ["%20", "a%2Fb", "a%00b", "%2e", "%2e%2e", "a" * 250, "%ff", "ä"])
def test_a_name_that_is_none_is_400_or_no_route(server, name):
    answer = server.put(f"/v1/topics/{name}", json={})
    assert answer.code in ("invalid-name", "unknown-route", "malformed-request"), answer


def test_the_longest_name_is_taken(server):
    assert server.put("/v1/topics/" + "n" * 249, json={}).status == 201


def test_names_of_internal_topics_are_reserved_and_not_listed(server):
    assert server.put("/v1/topics/__mine", json={}).code == "reserved-name"
    names = [topic["name"] for topic in server.get("/v1/topics").json["topics"]]
    assert not [name for name in names if name.startswith("__")]


def test_an_unknown_topic_is_404_and_says_how_to_create_it(server):
    for answer in (
        server.get("/v1/topics/absent"),
        server.patch("/v1/topics/absent", json={"partitions": 2}),
        server.delete("/v1/topics/absent"),
        server.get("/v1/topics/absent/records"),
        server.produce("absent", [1]),
    ):
        assert answer.code == "unknown-topic", answer
        assert "PUT /v1/topics/absent" in answer.json["detail"]


def test_a_deleted_topic_created_again_is_another(server):
    """Pitfall 27: its offsets begin anew, and cursors of the old one are 410."""
    first = server.create("phoenix")
    server.append("phoenix", ["old", "older"])
    cursor = server.page("phoenix", "?maxRecords=1")["cursor"]
    assert server.delete("/v1/topics/phoenix").status == 204
    assert server.get("/v1/topics/phoenix").code == "unknown-topic"
    second = server.create("phoenix")
    assert second["topicId"] != first["topicId"]
    server.append("phoenix", ["new"])
    gone = server.get(f"/v1/topics/phoenix/records?cursor={cursor}")
    assert (gone.status, gone.code) == (410, "topic-recreated")
    untagged = cursor.split("~")[0]
    assert server.page("phoenix", f"?cursor={untagged}")["records"] == []
    assert server.page("phoenix")["records"][0]["value"] == "new"


def test_trimming_moves_the_start_and_never_back(server, topic):
    server.append(topic, list(range(10)))
    path = f"/v1/topics/{topic}/partitions/0/records"
    assert server.delete(f"{path}?before=4").json == {"partition": 0, "logStartOffset": 4}
    assert server.delete(f"{path}?before=2").json == {"partition": 0, "logStartOffset": 4}
    assert server.delete(f"{path}?before=11").code == "offset-out-of-range"
    assert server.delete(path).code == "invalid-parameter"
    assert server.delete(f"{path}?before=-1").code == "invalid-parameter"
    trimmed = server.get(f"{path}?offset=3")
    assert (trimmed.status, trimmed.code) == (410, "offset-trimmed")
    assert trimmed.json["earliestOffset"] == 4
    assert [r["value"] for r in server.page(topic)["records"]] == list(range(4, 10))


def test_offsets_go_on_after_everything_was_trimmed_and_the_server_killed(data):
    """Pitfall 17: an emptied log restarts at 0 (NATS #2068)."""
    with Millrace(data) as server:
        server.create("emptied")
        server.append("emptied", ["a", "b", "c"])
        server.delete("/v1/topics/emptied/partitions/0/records?before=3")
        server.kill()
    with Millrace(data) as server:
        partition = server.get("/v1/topics/emptied").json["partitions"][0]
        assert (partition["logStartOffset"], partition["highWatermark"]) == (3, 3)
        assert server.append("emptied", ["d"]) == [{"partition": 0, "offset": 3}]


def test_topics_and_their_configuration_outlive_kill_9(data):
    with Millrace(data) as server:
        server.create("kept", partitions=2, retentionMs=123456)
        server.create("dropped")
        server.delete("/v1/topics/dropped")
        server.patch("/v1/topics/kept", json={"partitions": 3})
        before = server.get("/v1/topics").json
        server.kill()
    with Millrace(data) as server:
        assert server.get("/v1/topics").json == before


def test_a_first_produce_creates_the_topic_where_the_operator_wants_it(data):
    with Millrace(data, "--auto-create-partitions", 3) as server:
        # Not for a partition that it would not have.
        assert server.produce("made", [1], query="?partition=3").code == "unknown-partition"
        assert server.get("/v1/topics/made").code == "unknown-topic"
        assert server.get("/v1/topics/made/records").code == "unknown-topic"
        assert len(server.append("made", [1])) == 1
        assert len(server.get("/v1/topics/made").json["partitions"]) == 3
        assert server.produce("__made", [1]).code == "reserved-name"


def test_a_trim_beside_the_deletion_of_its_topic_never_fails(server):
    """The topic is there or it is not: that its files are gone already is no storage error."""
    path = "/v1/topics/leaving/partitions/0/records?before="
    deletions = [("DELETE", path + str(before)) for before in range(1, 11)]
    deletions.insert(8, ("DELETE", "/v1/topics/leaving"))
    with Connection(server, timeout=20) as c:
        for first in range(1, 440, 22):
            server.create("leaving")
            server.append("leaving", list(range(10)))
            streams = {first + 2 * index: request for index, request in enumerate(deletions)}
            c.send(b"".join(
                frame(HEADERS, END_HEADERS | END_STREAM, stream, c.block(method=method, path=target))
                for stream, (method, target) in streams.items()))
            c.until(lambda: set(streams) <= c.ended)
            found = {c.statuses[stream] for stream in streams}
            assert 204 in found and found <= {200, 204, 404, 410}, found


LIKE = ["Orders.eu_west", "orders.eu.west", "orders_eu_west", "ORDERS_EU.WEST"]


def test_a_name_that_can_be_taken_for_another_s_is_409(data):
    """By case, as a file system may, or by `.` and `_`, as Kafka's names of metrics do."""
    with Millrace(data, "--auto-create-partitions", 1) as server:
        server.create("orders.eu_west")
        for name in LIKE:
            answer = server.put(f"/v1/topics/{name}", json={"partitions": 1})
            assert (answer.status, answer.code) == (409, "topic-exists"), name
            assert answer.json["topic"] == name
            # Nor is it made by a first produce.
            answer = server.produce(name, [1])
            assert (answer.status, answer.code) == (409, "topic-exists"), name
            assert server.get(f"/v1/topics/{name}").code == "unknown-topic"
        assert server.put("/v1/topics/orders.eu_west", json={"partitions": 1}).status == 200
        assert [topic["name"] for topic in server.get("/v1/topics").json["topics"]] == ["orders.eu_west"]
        assert server.append("orders.eu_west", [1]) == [{"partition": 0, "offset": 0}]
        server.create("orders-eu-west")


def test_a_name_is_free_again_when_the_one_like_it_was_deleted(data):
    with Millrace(data) as server:
        server.create("first.name")
        assert server.put("/v1/topics/First_name").code == "topic-exists"
        assert server.delete("/v1/topics/first.name").status == 204
        server.create("First_name")
        assert server.put("/v1/topics/first.name").code == "topic-exists"


@pytest.mark.parametrize("end", ["terminate", "kill"])
def test_a_name_is_held_against_others_like_it_over_a_restart(data, end):
    with Millrace(data) as server:
        server.create("kept.name")
        server.create("gone.name")
        server.delete("/v1/topics/gone.name")
        getattr(server, end)()
    with Millrace(data) as server:
        assert server.put("/v1/topics/KEPT_name").code == "topic-exists"
        server.create("GONE_name")
