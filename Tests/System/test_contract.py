"""The checker of answers condemns what the contract does not know: a judge that never does is none."""

import json

import pytest

import contract

JSON = {"content-type": "application/json"}
PROBLEM = {"content-type": "application/problem+json"}
RECORD = {"partition": 0, "offset": 1, "timestamp": 5, "value": None}


def page(**changes):
    return json.dumps({"records": [RECORD], "cursor": "0:2~0123abcd", "caughtUp": True, **changes}).encode()


def problem(**changes):
    fields = {"type": "about:blank", "title": "Not Found", "status": 404, "code": "unknown-topic",
              "detail": "There is none.", "retryable": False, **changes}
    return json.dumps(fields).encode()


READ = ("GET", "/v1/topics/t/records")


def test_right_answers_pass():
    contract.check(*READ, 200, JSON, page())
    contract.check(*READ, 404, PROBLEM, problem())
    contract.check("GET", "/nowhere", 404, PROBLEM, problem(code="unknown-route"))


@pytest.mark.parametrize("status, headers, body", [
    (201, JSON, page()),
    (200, {"content-type": "text/html"}, page()),
    (200, JSON, page(extra=1)),
    (200, JSON, page(cursor="0")),
    (200, JSON, page(caughtUp=None)),
    (200, JSON, page(records=[{**RECORD, "key": None}])),
    (200, JSON, page(records=[{**RECORD, "headers": {}}])),
    (200, JSON, page(records=[{**RECORD, "valueEncoding": "hex"}])),
    (200, JSON, page(records=[{**RECORD, "offset": -1}])),
    (404, JSON, problem()),
    (404, PROBLEM, problem(status=400)),
    (404, PROBLEM, problem(code="unknown-group")),
    (404, PROBLEM, problem(code="invented")),
    (404, PROBLEM, problem(retryable=True)),
    (404, PROBLEM, problem(stack="secret")),
    (409, PROBLEM, problem(status=409, code="topic-exists")),
    (503, PROBLEM, problem(status=503, code="not-ready", retryable=True)),
])
def test_wrong_answers_do_not(status, headers, body):
    with pytest.raises(Exception):
        contract.check(*READ, status, headers, body)


def test_wrong_lines_and_events_do_not():
    contract.check_line(*READ, json.dumps(RECORD))
    contract.check_event(READ[1], "heartbeat", '{"cursor":"0:1"}')
    for call in (
        lambda: contract.check_line(*READ, '{"heartbeat":true}'),
        lambda: contract.check_event(READ[1], "ping", '{"cursor":"0:1"}'),
        lambda: contract.check_event(READ[1], "record", '{"cursor":"0:1"}'),
    ):
        with pytest.raises(Exception):
            call()
