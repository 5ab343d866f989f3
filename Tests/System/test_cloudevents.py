"""CloudEvents 1.0 made by the `cloudevents` library, in three modes, kept as the Kafka binding says."""

import json

import pytest
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent


def event(number=1, data=None, **more):
    attributes = {
        "type": "com.example.sample", "source": "/outside", "id": f"id-{number}",
        "specversion": "1.0", **more,
    }
    return CloudEvent(attributes=attributes, data={"n": number} if data is None else data)


def post(server, topic, message):
    headers = {str(k): str(v) for k, v in message.headers.items()}
    return server.post(f"/v1/topics/{topic}/records", data=message.body, headers=headers)


def test_binary_mode(server, topic):
    """Kafka binding §3.2: attributes as ce_ headers, data as the value."""
    message = to_binary_event(event(datacontenttype="application/json", partitionkey="p1"))
    assert post(server, topic, message).status == 200
    record = server.page(topic)["records"][0]
    assert record["value"] == {"n": 1}
    headers = record["headers"]
    assert headers["ce_id"] == "id-1" and headers["ce_source"] == "/outside"
    assert headers["ce_type"] == "com.example.sample" and headers["ce_specversion"] == "1.0"
    assert headers["content-type"] == "application/json"
    assert record["key"] == "p1"


def test_structured_mode(server, topic):
    """Kafka binding §3.3: the event as it came, its media type in content-type."""
    message = to_structured_event(event(2))
    assert post(server, topic, message).status == 200
    record = server.page(topic)["records"][0]
    assert record["headers"]["content-type"].startswith("application/cloudevents+json")
    back = JSONFormat().read(None, json.dumps(record["value"]))
    assert back.get_id() == "id-2" and back.get_data() == {"n": 2}


def test_batch_mode(server, topic):
    events = [json.loads(JSONFormat().write(event(n))) for n in range(5)]
    answer = server.post(
        f"/v1/topics/{topic}/records", data=json.dumps(events),
        headers={"Content-Type": "application/cloudevents-batch+json"},
    )
    assert answer.status == 200 and len(answer.json["offsets"]) == 5
    records = server.page(topic)["records"]
    assert [r["value"]["id"] for r in records] == [f"id-{n}" for n in range(5)]


@pytest.mark.parametrize("missing", ["id", "source", "type", "specversion"])
def test_an_event_without_a_required_attribute_is_400(server, topic, missing):
    body = json.loads(JSONFormat().write(event()))
    del body[missing]
    answer = server.post(
        f"/v1/topics/{topic}/records", data=json.dumps(body),
        headers={"Content-Type": "application/cloudevents+json"},
    )
    assert answer.status == 400 and missing in json.dumps(answer.json), answer
    message = to_binary_event(event())
    headers = {k: v for k, v in message.headers.items() if k.lower() != f"ce-{missing}"}
    answer = server.post(f"/v1/topics/{topic}/records", data=message.body, headers=headers)
    assert answer.status == 400, answer
    assert server.page(topic)["records"] == []


def test_one_bad_event_of_a_batch_refuses_all(server, topic):
    events = [json.loads(JSONFormat().write(event(n))) for n in range(3)]
    events[2]["specversion"] = "0.3"
    answer = server.post(
        f"/v1/topics/{topic}/records", data=json.dumps(events),
        headers={"Content-Type": "application/cloudevents-batch+json"},
    )
    assert answer.code == "invalid-cloudevent" and answer.json["recordIndex"] == 2
    assert server.page(topic)["records"] == []
