"""Checks answers against openapi/openapi.yaml: status documented, code listed, body as the schema says."""

import json
import re
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = yaml.safe_load((ROOT / "openapi" / "openapi.yaml").read_text())
CODES = DOCUMENT["components"]["x-problem-codes"]
_registry = Registry().with_resource("urn:api", Resource(DOCUMENT, DRAFT202012))


def _absolute(schema):
    """The schema with its references made absolute, so that the registry finds them."""
    if isinstance(schema, dict):
        return {
            name: "urn:api" + value if name == "$ref" else _absolute(value)
            for name, value in schema.items()
        }
    return [_absolute(item) for item in schema] if isinstance(schema, list) else schema


def _resolved(node):
    """What a reference stands for."""
    while "$ref" in node:
        target = DOCUMENT
        for name in node["$ref"].removeprefix("#/").split("/"):
            target = target[name]
        node = target
    return node


def validate(value, schema):
    """Raises where the value is not what the schema says."""
    Draft202012Validator(_absolute(schema), registry=_registry).validate(value)


def schema(name):
    return {"$ref": f"#/components/schemas/{name}"}


_templates = [
    (re.compile(re.sub(r"\\\{[a-z]+\\\}", "[^/]+", re.escape(template)) + "$"), template)
    for template in DOCUMENT["paths"]
]


def operation(method, path):
    """The operation a request leads to, or None."""
    path = path.split("?")[0]
    for pattern, template in _templates:
        if pattern.match(path):
            return DOCUMENT["paths"][template].get("get" if method == "HEAD" else method.lower())
    return None


def check(method, path, status, headers, body):
    """Raises AssertionError or ValidationError where the answer is none the contract knows.

    `headers` is a mapping that ignores case; `body` is None for a stream, whose lines
    `check_line` and `check_event` judge.
    """
    found = operation(method, path)
    protocol = DOCUMENT["components"]["responses"]["Protocol"]
    documented = _resolved(found["responses"].get(str(status), protocol)) if found else protocol
    kind = headers.get("content-type", "").split(";")[0].strip()
    if status >= 400:
        if method != "HEAD":
            assert kind == "application/problem+json", f"{method} {path}: {status} {kind}"
            _check_problem(json.loads(body), status, documented, protocol)
        if status in (429, 503):
            assert int(headers["retry-after"]) >= 1
        return
    assert documented is not protocol, f"{method} {path}: status {status} is not documented"
    content = documented.get("content")
    if method == "HEAD" or not content:
        assert not body, f"{method} {path}: {status} has a body"
        return
    assert kind in content, f"{method} {path}: {kind} is not documented for {status}"
    if body is None:
        return
    if kind == "application/json":
        validate(json.loads(body), content[kind]["schema"])
    elif kind == "application/x-ndjson":
        for line in body.decode().splitlines():
            check_line(method, path, line)
    elif kind == "text/plain":
        validate(body.decode(), content[kind]["schema"])


def _check_problem(problem, status, documented, protocol):
    validate(problem, schema("Problem"))
    code = problem["code"]
    assert problem["status"] == status
    known = CODES[code]
    # What was appended in part cannot be sent again as it is.
    is_partial = problem.get("partitions") or any("code" not in each for each in problem.get("results", ()))
    assert known["status"] == status, problem
    assert problem["retryable"] == known["retryable"] or is_partial and not problem["retryable"], problem
    listed = documented["x-problem-codes"] + protocol["x-problem-codes"]
    assert code in listed, f"{code} is not listed for {status}"


def check_line(method, path, line):
    """A line of an NDJSON answer; returns its value."""
    value = json.loads(line)
    answer = _resolved(operation(method, path)["responses"]["200"])
    validate(value, answer["content"]["application/x-ndjson"]["schema"])
    return value


def check_event(path, kind, data):
    """The data of a server-sent event; returns its value."""
    value = json.loads(data)
    answer = _resolved(operation("GET", path)["responses"]["200"])
    events = answer["content"]["text/event-stream"]["x-events"]
    assert kind in events, f"event {kind} is not documented"
    validate(value, events[kind])
    return value
