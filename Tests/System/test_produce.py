"""Produce (DESIGN.md §5, "Produce", "A record" and "Cases decided")."""

import base64
import json

import pytest

from millrace import Millrace


def post(server, topic, body, kind="application/json", query="", **headers):
    headers = {"Content-Type": kind, **{k.replace("_", "-"): v for k, v in headers.items()}}
    return server.post(f"/v1/topics/{topic}/records{query}", data=body, headers=headers)


def raw_page(server, topic):
    return server.get(f"/v1/topics/{topic}/records").body


def test_offsets_come_back_per_record_in_order(server, wide):
    keys = ["alice", "bob", "carol", "alice"]
    offsets = server.append(wide, [{"key": key, "value": key} for key in keys])
    assert len(offsets) == 4
    assert offsets[3] == {"partition": offsets[0]["partition"], "offset": offsets[0]["offset"] + 1}
    for key, place in zip(keys, offsets):
        page = server.page(wide, f"?offset={place['offset']}&maxRecords=1", place["partition"])
        assert page["records"][0]["key"] == key


def test_keys_go_where_kafkas_default_partitioner_puts_them(server):
    """murmur2 & 0x7fffffff mod 10, as kafka-python, a decoder not ours, computes it."""
    from kafka.partitioner.default import murmur2

    server.create("keyed", partitions=10)
    keys = ["", "a", "alice", "ключ", "x" * 100]
    offsets = server.append("keyed", [{"key": key, "value": 1} for key in keys])
    wanted = [(murmur2(key.encode()) & 0x7FFFFFFF) % 10 for key in keys]
    assert [place["partition"] for place in offsets] == wanted


def test_acks_all_leader_and_none(server, topic):
    assert server.produce(topic, [1], "?acks=all").status == 200
    assert server.produce(topic, [2], "?acks=leader").status == 200
    assert server.produce(topic, [3], "?acks=none").status == 202
    assert server.produce(topic, [4], "?acks=two").code == "invalid-parameter"
    assert server.append(topic, [5])[0]["offset"] in (2, 3)
    assert [r["value"] for r in server.page(topic)["records"]][:2] == [1, 2]


def test_partition_and_key_in_the_query_are_for_records_without(server, wide):
    records = [{"value": 1}, {"value": 2, "partition": 3}, {"value": 3, "key": "mine"}]
    offsets = server.append(wide, records, "?partition=2&key=a+b%2B")
    assert [place["partition"] for place in offsets] == [2, 3, 2]
    assert [r["key"] for r in server.page(wide, partition=2)["records"]] == ["a b+", "mine"]


def test_json_values_come_back_byte_for_byte(server, topic):
    """Number precision, key order, duplicate keys, escapes, inner white space: all survive."""
    values = [
        "1.000", "12345678901234567890123", "-0", "1E+2", '{"b":1,"a":2,"b":3}',
        '"\\u0041\\/\\ud83d"', "[1, 2 ,3]", "{\n \"a\" : 1 }", '"é"', "true", "[]",
    ]
    body = '{"records":[' + ",".join('{"value": %s }' % value for value in values) + "]}"
    assert post(server, topic, body.encode()).status == 200
    page = raw_page(server, topic)
    for value in values:
        assert b'"value":' + value.encode() in page, value


def test_line_forms_have_no_line_break_within_a_value(server, topic):
    post(server, topic, b'{"records":[{"value":{\r\n"a": 1}}]}')
    assert b'{\r\n"a": 1}' in raw_page(server, topic)
    with server.stream(f"/v1/topics/{topic}/records?maxRecords=1", "application/x-ndjson") as stream:
        assert b'"value":{  "a": 1}' in next(stream.iter_lines())


def test_what_was_read_can_be_posted_back_unchanged(server, topic):
    b64 = base64.b64encode(b"\xff\x00\x01").decode()
    records = [
        {"value": None, "key": "gone"},
        {"value": b64, "valueEncoding": "base64", "key": b64, "keyEncoding": "base64"},
        {"value": "plain text", "valueEncoding": "text"},
        {"value": "null", "valueEncoding": "text"},
        {"value": "", "valueEncoding": "text"},
        {"value": {"a": 1}, "headers": {"a": ["1", "2"], "b": {"base64": b64}, "c": None, "d": ""}},
        {"value": 1, "timestamp": 1732330000000},
    ]
    server.append(topic, records)
    first = server.page(topic)["records"]
    assert [{k: r[k] for k in wanted} for r, wanted in zip(first, records)] == records
    assert "key" not in first[2] and "headers" not in first[2]
    server.append(topic, first)
    second = server.page(topic)["records"][len(records):]
    strip = lambda record: {k: v for k, v in record.items() if k != "offset"}
    assert list(map(strip, second)) == list(map(strip, first))


def test_only_a_tombstone_reads_as_null(server, topic):
    post(server, topic, b"null", "application/octet-stream")
    post(server, topic, b"", "application/octet-stream")
    server.append(topic, [None])
    read = [(r["value"], r.get("valueEncoding")) for r in server.page(topic)["records"]]
    assert read == [("null", "text"), ("", "text"), (None, None)]


def test_a_raw_body_is_one_record_byte_for_byte(server, topic):
    raw = bytes(range(256))
    assert post(server, topic, raw, "image/x-thing; a=b", "?key=k").status == 200
    record = server.page(topic)["records"][0]
    assert base64.b64decode(record["value"]) == raw and record["valueEncoding"] == "base64"
    assert record["key"] == "k"
    assert record["headers"]["content-type"] == "image/x-thing; a=b"


@pytest.mark.parametrize(
    "body, code, members",
    [
        (b'{"records":[{"value":1}', "invalid-json", {"position": 23}),
        (b'{"records":[{"value":01}]}', "invalid-json", {"recordIndex": 0}),
        (b'{"records":[{"value":1}]}x', "invalid-json", {"position": 25}),
        (b"", "invalid-json", {"position": 0}),
        (b'{"records":[{"value":"\xff"}]}', "invalid-json", {"recordIndex": 0}),
        (b'{"records":[{"value":1},{"key":"k"}]}', "missing-field",
         {"recordIndex": 1, "field": "value"}),
        (b'{"records":[{"value":1,"valeu":2}]}', "unknown-field",
         {"recordIndex": 0, "field": "valeu"}),
        (b'{"records":[{"value":1,"key":5}]}', "invalid-field", {"field": "key"}),
        (b'{"records":[{"value":1,"key":"\\ud800"}]}', "invalid-field", {"field": "key"}),
        (b'{"records":[{"value":1,"headers":{"\\udc00":"x"}}]}', "invalid-field",
         {"field": "headers"}),
        (b'{"records":[{"value":1,"headers":{"a":"\\ud800"}}]}', "invalid-field",
         {"field": "headers"}),
        (b'{"records":[{"value":"!","valueEncoding":"base64"}]}', "invalid-field",
         {"field": "value"}),
        (b'{"records":[{"value":1,"partition":-1}]}', "invalid-field", {"field": "partition"}),
        (b'{"records":[{"value":1,"timestamp":1e400}]}', "invalid-field", {"field": "timestamp"}),
        (b'{"records":[{"value":1,"value":2}]}', "invalid-field", {"field": "value"}),
        (b'{"records":[{"value":1}],"recrods":[]}', "unknown-field", {"field": "recrods"}),
    ],
)
def test_a_bad_batch_is_400_at_its_place_and_nothing_is_appended(
    server, topic, body, code, members
):
    answer = post(server, topic, body)
    assert (answer.status, answer.code) == (400, code), answer
    assert members.items() <= answer.json.items(), answer.json
    assert server.page(topic)["records"] == []


def test_a_batch_is_checked_whole_before_anything_is_appended(server, wide):
    records = [{"value": n, "partition": n % 4} for n in range(20)] + [{"value": 1, "partition": 4}]
    answer = server.produce(wide, records)
    assert answer.code == "unknown-partition"
    assert server.page(wide)["records"] == []


def test_a_lone_surrogate_stays_in_a_value(server, topic):
    assert post(server, topic, b'{"records":[{"value":"\\ud800"}]}').status == 200
    assert b'"value":"\\ud800"' in raw_page(server, topic)


def test_deep_nesting_is_refused_and_not_fatal(server, topic):
    for body in (b"[" * 1_000_000, b'{"records":[{"value":' + b"[" * 100_000):
        assert post(server, topic, body).status == 400


def test_an_empty_batch_appends_nothing(server, topic):
    answer = server.produce(topic, [])
    assert answer.status == 200 and answer.json == {"offsets": []} or answer.status == 400, answer
    assert server.page(topic)["records"] == []


def test_a_record_over_the_topics_limit_is_413(server):
    server.create("small", maxRecordBytes=100)
    answer = server.produce("small", ["x", "y" * 200])
    assert (answer.status, answer.code) == (413, "record-too-large")
    assert answer.json["limit"] == 100
    assert server.page("small")["records"] == []


def test_a_body_over_the_servers_limit_is_413(data):
    with Millrace(data, "--max-body-bytes", 1000) as server:
        server.create("t")
        assert server.append("t", ["x" * 500])
        answer = server.produce("t", ["x" * 2000])
        assert (answer.status, answer.code) == (413, "body-too-large")
        chunked = server.post(
            "/v1/topics/t/records", data=iter([b"x" * 400] * 5), headers={"Content-Type": "a/b"}
        )
        assert chunked.code == "body-too-large"
        assert len(server.page("t")["records"]) == 1


def test_a_value_of_the_largest_record_is_delivered_whole(server, topic):
    value = "x" * 1_000_000
    server.append(topic, [value])
    page = server.page(topic, "?maxBytes=1")
    assert page["records"][0]["value"] == value


def test_an_unknown_content_coding_is_refused_and_not_passed_over(server, topic):
    body = json.dumps({"records": [{"value": 1}]})
    answer = post(server, topic, body, **{"Content-Encoding": "br"})
    assert answer.code == "unsupported-media-type"
    assert server.page(topic)["records"] == []


def test_a_charset_other_than_utf_8_is_415(server, topic):
    answer = post(server, topic, b'{"records":[]}', "application/json; charset=utf-16")
    assert answer.code == "unsupported-media-type"


@pytest.mark.parametrize("query", ["?ack=all", "?acks=all&acks=all", "?partition=x", "?partition=-1",
                                   "?partition=99999999999", "?key=%ff", "?key=%00"])
def test_a_query_not_understood_is_400_and_appends_nothing(server, topic, query):
    answer = server.produce(topic, [1], query)
    assert answer.code in ("invalid-parameter", "unknown-parameter"), answer
    assert server.page(topic)["records"] == []


def test_a_partition_that_is_not_there_is_404(server, topic):
    answer = server.produce(topic, [1], "?partition=1")
    assert (answer.code, answer.json["partitionCount"]) == ("unknown-partition", 1)
