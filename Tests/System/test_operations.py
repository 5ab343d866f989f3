"""Health, metrics, the contract itself, the access log, and what browsers of other sites may not do."""

import contextlib
import json
import select
import signal
import socket
import struct
import time

import pytest
from openapi_spec_validator import validate as validate_openapi
from prometheus_client.parser import text_string_to_metric_families
import yaml

import contract
from millrace import Millrace, until


def samples(server):
    text = server.get("/metrics").body.decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_live_and_ready(server):
    assert server.get("/livez").body == b"ok\n"
    assert server.get("/readyz").body == b"ok\n"


def test_prometheus_can_read_the_metrics_and_they_count(server, wide):
    before = samples(server)
    server.append(wide, [1, 2, 3])
    server.get("/v1/topics/absent")
    after = samples(server)
    grown = lambda name, **labels: (
        after[(name, tuple(sorted(labels.items())))]
        - before.get((name, tuple(sorted(labels.items()))), 0)
    )
    assert grown("millrace_log_appended_records_total") == 3
    assert grown("millrace_http_requests_total", route="produce", status="2xx") == 1
    assert grown("millrace_http_requests_total", route="describeTopic", status="4xx") == 1
    assert after[("millrace_partitions", ())] >= 4
    assert after[("millrace_http_connections", ())] >= 1


def test_every_family_of_the_metrics_is_typed_and_told(server):
    for family in text_string_to_metric_families(server.get("/metrics").body.decode()):
        assert family.type in ("counter", "gauge", "histogram"), family.name
        assert family.documentation, family.name
        assert family.name.startswith("millrace_")


def test_the_contract_is_valid_and_served(server):
    answer = server.get("/openapi.yaml")
    assert answer.headers["content-type"].split(";")[0] == "application/yaml"
    served = yaml.safe_load(answer.body)
    validate_openapi(served)
    assert served == contract.DOCUMENT


def test_the_contract_lists_each_code_where_it_can_come():
    """Every code of the list stands under some response of its status, and no other does."""
    document, used = contract.DOCUMENT, set()
    for path in document["paths"].values():
        for operation in path.values():
            if isinstance(operation, list):
                continue
            for status, answer in operation["responses"].items():
                for code in contract._resolved(answer).get("x-problem-codes", []):
                    wanted = contract.CODES[code]["status"]
                    assert status in (str(wanted), "default"), (operation["operationId"], code)
                    used.add(code)
    assert used == set(contract.CODES)
    assert used == set(document["components"]["schemas"]["ProblemCode"]["enum"])


def test_a_path_that_is_not_there_is_404_and_a_method_405(server):
    for path in ("/", "/v1", "/v2/topics", "/v1/topics/", "/v1/topics/a/b", "/livez/", "/V1/topics"):
        assert server.get(path).code == "unknown-route", path
    answer = server.post("/v1/topics", json={})
    assert answer.code == "method-not-allowed"
    assert "GET" in answer.headers["allow"]


def test_a_405_names_HEAD_where_GET_is_taken(server):
    for method, path in [
        ("POST", "/livez"), ("POST", "/v1/topics"), ("POST", "/v1/topics/t"), ("PATCH", "/v1/topics/t/records"),
        ("POST", "/v1/groups/g"), ("POST", "/v1/groups/g/members/m/records"),
    ]:
        answer = server.request(method, path)
        allowed = answer.headers["allow"].split(", ")
        assert answer.code == "method-not-allowed" and {"GET", "HEAD"} <= set(allowed), (path, allowed)
        assert len(allowed) == len(set(allowed))
    answer = server.get("/v1/tickets")
    assert answer.code == "method-not-allowed" and "HEAD" not in answer.headers["allow"]


def test_answers_do_not_say_what_runs_here(server):
    """API8: no version, no CORS for everyone."""
    headers = server.get("/livez").headers
    assert "access-control-allow-origin" not in headers
    assert not any(character.isdigit() for character in headers.get("server", ""))


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-ndjson",
                                  "application/x-www-form-urlencoded", "multipart/form-data"])
@pytest.mark.parametrize("fields", [{"Origin": "http://evil.test"}, {"Origin": "null"},
                                    {"Sec-Fetch-Site": "cross-site"}])
def test_a_page_of_another_site_can_do_nothing(server, topic, kind, fields):
    body = b'{"records":[{"value":1}]}'
    answer = server.post(
        f"/v1/topics/{topic}/records", data=body, headers={"Content-Type": kind, **fields}
    )
    assert (answer.status, answer.code) == (403, "foreign-origin")
    assert server.get(f"/v1/topics/{topic}", headers=fields).code == "foreign-origin"
    assert server.page(topic)["records"] == []


def test_a_page_of_the_same_origin_may(server, topic):
    own = {"Origin": server.base, "Sec-Fetch-Site": "same-origin"}
    assert server.produce(topic, [1], headers=own).status == 200


def test_the_access_log_has_a_json_line_per_request_that_none_can_forge(data, tmp_path):
    log = tmp_path / "access.log"
    with Millrace(data, "--access-log", log) as server:
        server.create("t")
        server.append("t", [1])
        agent = 'x"}\\ {"path":"/forged","status":200}'
        server.get("/v1/topics/t%22%5C%0A", headers={"User-Agent": agent})
        entries = lambda: [json.loads(line) for line in log.read_text().splitlines()]
        until(lambda: len(entries()) == 3)
        create, append, odd = entries()
    assert (create["method"], create["path"], create["status"]) == ("PUT", "/v1/topics/t", 201)
    assert (append["method"], append["status"]) == ("POST", 200)
    assert append["bytesIn"] > 10 and append["bytesOut"] > 10 and append["durationMicros"] > 0
    assert (odd["status"], odd["path"], odd["userAgent"]) == (400, "/v1/topics/t%22%5C%0A", agent)


def test_what_the_http_server_refuses_is_in_the_access_log_too(data, tmp_path):
    """An attack must leave a line, and the line must be what it was, not what it says."""
    log = tmp_path / "access.log"
    with Millrace(data, "--access-log", log) as server:
        with socket.create_connection((server.host, server.port), 10) as connection:
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\nA : {\"forged\":1}\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")
        until(lambda: log.read_text())
        (entry,) = [json.loads(line) for line in log.read_text().splitlines()]
    assert entry["status"] == 400 and "forged" not in entry


def test_who_changes_or_takes_away_is_logged_without_being_asked_for(data):
    """OWASP API6: a trim, a reset or a deletion leaves a line; what others read and send leaves none."""
    with Millrace(data) as server:
        server.create("t")
        server.append("t", [1, 2])
        server.page("t")
        assert server.delete("/v1/topics/t/partitions/0/records?before=1").status == 200
        assert server.put("/v1/groups/g/offsets?dryRun=true", json={"to": "earliest", "topics": ["t"]}).status == 200
        assert server.delete("/v1/topics/other").status == 404
        until(lambda: "/v1/topics/other" in server.log())
        entries = [json.loads(line) for line in server.log().splitlines()]
    assert [(e["method"], e["path"], e.get("query"), e["status"]) for e in entries if "path" in e] == [
        ("PUT", "/v1/topics/t", None, 201),
        ("DELETE", "/v1/topics/t/partitions/0/records", "before=1", 200),
        ("PUT", "/v1/groups/g/offsets", "dryRun=true", 200),
        ("DELETE", "/v1/topics/other", None, 404),
    ]


def test_who_changed_something_and_broke_off_is_named_all_the_same(data):
    """A socket that was reset does not know its peer any more when the line is written."""
    with Millrace(data) as server:
        server.create("t")
        with socket.create_connection((server.host, server.port), 10) as client:
            client.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
            server.process.send_signal(signal.SIGSTOP)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sendall(b"DELETE /v1/topics/t HTTP/1.1\r\nHost: a\r\n\r\n")
        server.process.send_signal(signal.SIGCONT)
        until(lambda: '"DELETE"' in server.log(), 30)
        entries = [json.loads(line) for line in server.log().splitlines()]
    (entry,) = [entry for entry in entries if entry.get("method") == "DELETE"]
    assert (entry["path"], entry["peer"].split(":")[0]) == ("/v1/topics/t", server.host), entry


def test_log_lines_on_standard_error_are_json(data):
    with Millrace(data, "--access-log", "stderr", "--log-level", "debug") as server:
        server.get("/livez")
        until(lambda: "/livez" in server.log())
        server.terminate()
        for line in server.log().splitlines():
            json.loads(line)


@pytest.mark.parametrize("key", ["", "Idempotency-Key: large-{}\r\n"])
def test_a_large_produce_does_not_keep_others_waiting(server, topic, key):
    """Whoever shares an event loop with it is answered before it: in one of ten tries at least,
    for the machine may be busy with other things."""
    body = b'{"records":[' + b",".join([b'{"value":1}'] * 1_200_000) + b"]}"
    target = f"/v1/topics/{topic}/records?acks=leader"

    def attempt(number):
        with contextlib.ExitStack() as stack:
            others = [
                stack.enter_context(socket.create_connection((server.host, server.port)))
                for _ in range(32)
            ]
            large = stack.enter_context(socket.create_connection((server.host, server.port)))
            head = (f"POST {target} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                    f"{key.format(number)}Content-Length: {len(body)}\r\n\r\n")
            large.sendall(head.encode() + body)
            time.sleep(0.03)  # until the server has taken the last of it
            for other in others:
                other.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
            for other in others:
                assert other.recv(4096).startswith(b"HTTP/1.1 200")
            is_first = not select.select([large], [], [], 0)[0]
            assert large.recv(12, socket.MSG_WAITALL) == b"HTTP/1.1 200"
            return is_first

    assert any(attempt(number) for number in range(10))
