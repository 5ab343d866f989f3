"""Pages (DESIGN.md §5, "Consume" and "Cases decided"): every read can be repeated."""

import http.client
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from millrace import Millrace


def test_a_page_can_be_read_again_and_again(server, topic):
    server.append(topic, list(range(10)))
    pages = [server.page(topic, "?offset=3&maxRecords=4", partition=0) for _ in range(3)]
    assert [r["offset"] for r in pages[0]["records"]] == [3, 4, 5, 6]
    assert pages[0] == pages[1] == pages[2]


def test_the_cursor_leads_through_all_partitions_once(server, wide):
    server.append(wide, [{"value": n, "partition": n % 4} for n in range(400)])
    seen, query = [], "?maxRecords=7"
    while True:
        page = server.page(wide, query)
        seen += [(r["partition"], r["offset"]) for r in page["records"]]
        if page["caughtUp"]:
            break
        query = f"?maxRecords=7&cursor={page['cursor']}"
    assert sorted(seen) == [(p, o) for p in range(4) for o in range(100)]
    assert len(seen) == len(set(seen))


def test_a_client_may_write_its_own_cursor(server, wide):
    server.append(wide, [{"value": n, "partition": n % 4} for n in range(8)])
    page = server.page(wide, "?cursor=1:1,3:2")
    got = sorted((r["partition"], r["offset"]) for r in page["records"])
    assert got == [(0, 0), (0, 1), (1, 1), (2, 0), (2, 1)], "a partition left out is read from its start"


def test_growing_a_topic_loses_nothing(server):
    server.create("growing")
    server.append("growing", [1])
    cursor = server.page("growing")["cursor"]
    server.patch("/v1/topics/growing", json={"partitions": 2})
    server.append("growing", [2], "?partition=1")
    assert [r["value"] for r in server.page("growing", f"?cursor={cursor}")["records"]] == [2]


@pytest.mark.parametrize(
    "query, wanted",
    [
        ("", [0, 1, 2, 3, 4]), ("?from=earliest", [0, 1, 2, 3, 4]), ("?from=latest", []),
        ("?from=tail:2", [3, 4]), ("?from=tail:99", [0, 1, 2, 3, 4]), ("?from=1003", [3, 4]),
        ("?from=0", [0, 1, 2, 3, 4]), ("?from=9999999", []),
    ],
)
def test_where_a_read_begins(server, topic, query, wanted):
    server.append(topic, [{"value": n, "timestamp": 1000 + n} for n in range(5)])
    assert [r["value"] for r in server.page(topic, query)["records"]] == wanted


def test_tail_counts_per_partition(server, wide):
    server.append(wide, [{"value": n, "partition": n % 4} for n in range(40)])
    page = server.page(wide, "?from=tail:2")
    got = sorted((r["partition"], r["offset"]) for r in page["records"])
    assert got == [(p, o) for p in range(4) for o in (8, 9)]


@pytest.mark.parametrize(
    "query, code",
    [
        ("?offset=1", "unknown-parameter"), ("?cursor=0:1&from=latest", "invalid-parameter"),
        ("?from=yesterday", "invalid-parameter"), ("?from=tail:0", "invalid-parameter"),
        ("?from=tail:-1", "invalid-parameter"), ("?from=-1", "invalid-parameter"),
        ("?maxRecords=0", "invalid-parameter"), ("?maxRecords=-1", "invalid-parameter"),
        ("?maxRecords=1e3", "invalid-parameter"), ("?maxBytes=0", "invalid-parameter"),
        ("?maxBytes=x", "invalid-parameter"), ("?waitMs=-1", "invalid-parameter"),
        ("?waitMs=99999999999999999999", "invalid-parameter"), ("?limit=5", "unknown-parameter"),
        ("?cursor=0:1&cursor=0:2", "invalid-parameter"), ("?cursor=0", "invalid-cursor"),
        ("?cursor=0:-1", "invalid-cursor"), ("?cursor=0:%2B1", "invalid-cursor"),
        ("?cursor=0:1,0:2", "invalid-cursor"), ("?cursor=1:0", "invalid-cursor"),
        ("?cursor=0:1~xyz", "invalid-cursor"), ("?cursor=other/0:1", "invalid-cursor"),
        ("?cursor=0:1,", "invalid-cursor"),
    ],
)
def test_a_read_not_understood_is_400(server, topic, query, code):
    answer = server.get(f"/v1/topics/{topic}/records{query}")
    assert (answer.status, answer.code) == (400, code), answer


def test_offsets_out_of_range_are_410_and_416(server, topic):
    server.append(topic, [1, 2, 3])
    path = f"/v1/topics/{topic}/partitions/0/records"
    assert server.page(topic, "?offset=3", 0)["records"] == []
    future = server.get(f"{path}?offset=4")
    assert (future.status, future.code, future.json["latestOffset"]) == (416, "offset-out-of-range", 3)
    assert server.get(f"{path}?offset=9223372036854775807").code == "offset-out-of-range"
    assert server.get(f"/v1/topics/{topic}/records?cursor=0:4").code == "offset-out-of-range"
    server.delete(f"{path}?before=2")
    past = server.get(f"{path}?offset=1")
    assert (past.status, past.code, past.json["earliestOffset"]) == (410, "offset-trimmed", 2)


@pytest.mark.parametrize("partition", ["1", "99999999999", "-1", "x", "0x0", "%30x", ""])
def test_a_partition_that_is_not_there(server, topic, partition):
    answer = server.get(f"/v1/topics/{topic}/partitions/{partition}/records")
    assert answer.code in ("unknown-partition", "invalid-parameter", "unknown-route"), answer


def test_limits_above_the_servers_are_clamped(server, topic):
    body = b"".join(b'{"value":%d}\n' % n for n in range(10_050))
    server.post(f"/v1/topics/{topic}/records", data=body, headers={"Content-Type": "application/x-ndjson"})
    query = "?maxRecords=9223372036854775807&maxBytes=9223372036854775807"
    page = server.page(topic, query)
    assert len(page["records"]) == 10_000 and not page["caughtUp"]
    assert len(server.page(topic, "?waitMs=9223372036854775807")["records"]) == 1000


def test_max_bytes_bounds_a_page_but_one_record_always_comes(server, topic):
    server.append(topic, ["x" * 1000 for _ in range(10)])
    assert len(server.page(topic, "?maxBytes=1")["records"]) == 1
    several = server.get(f"/v1/topics/{topic}/records?maxBytes=3500")
    assert 1 <= len(several.json["records"]) <= 3


def test_a_page_at_the_end_is_empty_and_keeps_its_cursor(server, topic):
    server.append(topic, [1])
    end = server.page(topic)
    assert end["caughtUp"]
    again = server.page(topic, f"?cursor={end['cursor']}")
    assert again == {"records": [], "cursor": end["cursor"], "caughtUp": True}


# Long-poll

def test_a_long_poll_returns_at_the_first_record(server, topic):
    """Pitfall 47: a lost wake-up, or an early empty return."""
    with ThreadPoolExecutor() as pool:
        for number in range(20):
            waiting = pool.submit(server.page, topic, f"?cursor=0:{number}&waitMs=20000")
            time.sleep(0.002 * (number % 5))
            produced = time.monotonic()
            server.append(topic, [number])
            page = waiting.result(timeout=15)
            assert [r["value"] for r in page["records"]] == [number]
            assert time.monotonic() - produced < 2


def test_a_long_poll_on_all_partitions_wakes_for_any(server, wide):
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(server.page, wide, "?from=latest&waitMs=20000")
        time.sleep(0.05)
        server.append(wide, ["third"], "?partition=3")
        assert waiting.result(timeout=15)["records"][0]["value"] == "third"


def test_an_empty_long_poll_ends_at_its_deadline_with_the_same_cursor(server, topic):
    server.append(topic, [1])
    cursor = server.page(topic)["cursor"]
    started = time.monotonic()
    page = server.page(topic, f"?cursor={cursor}&waitMs=300")
    assert 0.28 <= time.monotonic() - started < 3
    assert page == {"records": [], "cursor": cursor, "caughtUp": True}


def test_the_wait_is_clamped_to_the_servers_limit(data):
    with Millrace(data, "--max-wait-ms", 100) as server:
        server.create("t")
        started = time.monotonic()
        assert server.page("t", "?waitMs=60000")["records"] == []
        assert time.monotonic() - started < 5


def test_two_hundred_long_polls_are_woken_by_one_record(data):
    with Millrace(data) as server:
        server.create("t")
        with ThreadPoolExecutor(200) as pool:
            waiting = [pool.submit(server.page, "t", "?waitMs=30000") for _ in range(200)]
            time.sleep(1)
            server.append("t", ["go"])
            assert {w.result(30)["records"][0]["value"] for w in waiting} == {"go"}


def test_deleting_the_topic_ends_a_long_poll(server):
    server.create("vanishing")
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(server.get, "/v1/topics/vanishing/records?waitMs=20000")
        time.sleep(0.1)
        server.delete("/v1/topics/vanishing")
        assert waiting.result(timeout=10).code == "unknown-topic"


# Caches

def test_a_full_page_of_history_is_immutable(server, topic):
    server.append(topic, list(range(20)))
    path = f"/v1/topics/{topic}/partitions/0/records"
    full = server.get(f"{path}?offset=0&maxRecords=10")
    tag = full.headers["etag"]
    assert tag.startswith('"') and not full.json["caughtUp"]
    assert "private" in full.headers["cache-control"] and "max-age" in full.headers["cache-control"]
    again = server.get(f"{path}?offset=0&maxRecords=10", headers={"If-None-Match": tag})
    assert again.status == 304 and again.body == b""
    other = server.get(f"{path}?offset=10&maxRecords=5", headers={"If-None-Match": tag})
    assert other.status == 200 and other.headers["etag"] != tag


@pytest.mark.parametrize("query", ["?offset=15&maxRecords=10", "?offset=10&maxRecords=10",
                                   "?from=earliest&maxRecords=5", "?from=0&maxRecords=5",
                                   "?from=tail:10&maxRecords=5", "?offset=20",
                                   "?cursor=&maxRecords=5"])
def test_a_page_that_can_change_has_no_etag(server, topic, query):
    server.append(topic, list(range(20)))
    answer = server.get(f"/v1/topics/{topic}/partitions/0/records{query}")
    assert "etag" not in answer.headers
    assert "no-store" in answer.headers["cache-control"]


def get_with(server, path, *fields):
    """A GET with these field lines, each on its own; status and the fields of the answer."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=20)
    connection.putrequest("GET", path, skip_accept_encoding=True)
    for field in fields:
        connection.putheader(*field)
    connection.endheaders()
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.headers


def test_tags_on_several_lines_are_one_list(server, topic):
    """RFC 9110 §5.3."""
    server.append(topic, list(range(20)))
    path = f"/v1/topics/{topic}/partitions/0/records?offset=0&maxRecords=10"
    tag = server.get(path).headers["etag"]
    for tags, status in (
        ((tag, '"a"'), 304), (('"a"', tag), 304), (('"a"', '"b"', tag), 304), (('"a", "b"', f'"c", {tag}'), 304),
        (('"a"', '"b"'), 200),
    ):
        assert get_with(server, path, *(("If-None-Match", each) for each in tags))[0] == status, tags


def test_a_page_of_a_compacted_topic_has_no_etag(server):
    server.create("compacted", cleanupPolicy="compact")
    server.append("compacted", [{"key": str(n), "value": n} for n in range(20)])
    answer = server.get("/v1/topics/compacted/partitions/0/records?offset=0&maxRecords=5")
    assert "etag" not in answer.headers


# Forms

@pytest.mark.parametrize("accept", ["text/html", "application/xml", "application/json;q=0", "image/*"])
def test_an_accept_that_names_no_form_is_406(server, topic, accept):
    answer = server.get(f"/v1/topics/{topic}/records", headers={"Accept": accept})
    assert answer.code == "not-acceptable"


@pytest.mark.parametrize("accept", ["*/*", "application/*", "application/json", "text/html, */*;q=0.1"])
def test_the_default_form_is_a_page(server, topic, accept):
    answer = server.get(f"/v1/topics/{topic}/records", headers={"Accept": accept})
    assert answer.headers["content-type"] == "application/json"


def test_accept_on_several_lines_is_one_list(server, topic):
    """RFC 9110 §5.3: a proxy may write it so."""
    server.append(topic, [1])
    path = f"/v1/topics/{topic}/records?maxRecords=1"
    for accepts, kind in (
        (("text/html", "application/json"), "application/json"),
        (("application/json", "text/html"), "application/json"),
        (("application/json;q=0.1", "text/event-stream"), "text/event-stream"),
        (("text/html, image/png", "text/css, application/x-ndjson"), "application/x-ndjson"),
    ):
        status, fields = get_with(server, path, *(("Accept", each) for each in accepts))
        assert (status, fields["content-type"].split(";")[0]) == (200, kind), accepts
    assert get_with(server, path, ("Accept", "text/html"), ("Accept", "image/png"))[0] == 406


def test_head_is_get_without_the_body(server, topic):
    path = f"/v1/topics/{topic}/records"
    head, get = server.request("HEAD", path), server.get(path)
    assert head.status == 200 and head.body == b""
    assert head.headers["content-length"] == str(len(get.body))
