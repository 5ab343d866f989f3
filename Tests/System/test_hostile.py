"""Hostile names, numbers and bodies on every route (RELIABILITY.md d-1 and f: API4, API10)."""

import http.client
import json
import os
import socket
import time
from urllib.parse import quote

import pytest

import access
import contract
from millrace import Millrace

# In the manner of the Big List of Naughty Strings.
NAUGHTY = [
    "undefined", "null", "NaN", "\\", "1;DROP TABLE users", "../../../etc/passwd", "..%2f..%2f",
    "a\0b", "a\tb", "\r\nSet-Cookie: a=b", "\x1b[31mred", "\x7f", "\u202etxt.exe", "\ufeffBOM",
    "\u2028line", "Ω≈ç√∫", "👩‍👩‍👧", "田中さん", "<script>alert(1)</script>", "$HOME `id` $(id)",
    "%s%n%x%d", "CON", "nul.", "-rf", "\u212aelvin", "Å Å", "İi", "ﷺ" * 20, "'\"", "{{7*7}}",
    "${jndi:ldap://127.0.0.1/a}", "\ue000\U0010ffff", "a" * 3000,
]
NAMES = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
BODIES = {
    "joinGroup": {"topics": ["TOPIC"]}, "pollMember": {"memberEpoch": 1},
    "commitOffsets": {"offsets": [{"topic": "TOPIC", "partition": 0, "offset": 0}]},
    "heartbeatMember": {"memberEpoch": 1}, "resetOffsets": {"to": "earliest"},
    "produce": {"records": [{"value": 1}]}, "createTicket": {"topic": "TOPIC"},
}


def operations():
    for template, item in contract.DOCUMENT["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield operation["operationId"], method.upper(), template, operation


def resolved(node):
    while "$ref" in node:
        target = contract.DOCUMENT
        for name in node["$ref"].removeprefix("#/").split("/"):
            target = target[name]
        node = target
    return node


# Names

def test_naughty_strings_are_kept_in_keys_headers_and_values(server, topic):
    records = [
        {"key": text, "value": text, "valueEncoding": "text", "headers": {text: text}}
        for text in NAUGHTY]
    server.append(topic, records)
    found = server.page(topic, "?from=earliest")["records"]
    assert [(r["key"], r["headers"]) for r in found] == [(t, {t: t}) for t in NAUGHTY]
    assert [(r["value"], r["valueEncoding"]) for r in found] == [(t, "text") for t in NAUGHTY]


@pytest.mark.parametrize("name, method, template, operation", [
    pytest.param(*row, id=row[0]) for row in operations() if "{" in row[2]])
def test_naughty_names_in_a_path_are_refused(server, topic, name, method, template, operation):
    """No byte of a name becomes a path on the disk or a header of the answer."""
    for text in NAUGHTY:
        if set(text) <= NAMES and len(text) < 250:
            continue
        part = quote(text, safe="")
        path = template
        for variable in ("{topic}", "{group}", "{member}", "{partition}"):
            path = path.replace(variable, part)
        body = json.dumps(BODIES.get(name, {})).replace("TOPIC", topic)
        answer = server.request(
            method, path, data=body if method != "GET" else None,
            headers={"Content-Type": "application/json"})
        assert 400 <= answer.status < 500, (path, answer)
        assert text not in str(answer.headers), (path, answer.headers)
        assert "set-cookie" not in answer.headers


def test_names_of_devices_and_dots_are_names_like_others(server):
    for name in ("CON", "nul.", "-rf", "...", "a..b", ".hidden", "LPT1.txt"):
        server.create(name)
        server.append(name, [name])
        assert server.page(name, "?from=earliest")["records"][0]["value"] == name
        assert server.post(f"/v1/groups/{name}/offsets", json={
            "offsets": [{"topic": name, "partition": 0, "offset": 1}]}).status == 204
    directories = os.listdir(server.data / "topics")
    assert all(len(entry) == 36 and entry.count("-") == 4 for entry in directories), directories


@pytest.mark.parametrize("path, status", [
    # Decoded once: what stays encoded is another name.
    ("/v1/topics/%2574opic", 404), ("/v1/topics/%252e%252e%252f", 404),
    ("/v1/topics/%00", 400), ("/v1/topics/a%0d%0ab", 400), ("/v1/topics/%7f", 400),
    # Not UTF-8: overlong, cut short, a surrogate, beyond Unicode.
    ("/v1/topics/%c0%af", 400), ("/v1/topics/%e0%80%af", 400), ("/v1/topics/%e2%28%a1", 400),
    ("/v1/topics/%ed%a0%80", 400), ("/v1/topics/%f4%90%80%80", 400), ("/v1/topics/%ff", 400),
    ("/v1/topics/%", 400), ("/v1/topics/%4", 400), ("/v1/topics/%zz", 400),
    # A slash that is encoded separates nothing, and dots lead nowhere.
    ("/v1%2ftopics", 404), ("/v1/topics/..%2f..%2flivez", 404), ("/v1/topics/../../livez", 404),
    ("/v1/./topics", 404), ("//v1/topics", 404), ("/v1//topics", 404), ("/v1/topics/", 404),
    ("/V1/topics", 404), ("/v1/topics;a=b", 404), ("/v1/topics/topic;v=1", 404),
    ("/v1/topics/" + "a" * 9000, 414), ("/v1/topics?" + "a=" * 5000, 414),
])
def test_a_path_is_decoded_once_and_means_what_it_says(server, path, status):
    connection = http.client.HTTPConnection(server.host, server.port, timeout=20)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    assert (answer.status, body["status"]) == (status, status), body


# Numbers

def numbers():
    """Every integer of a JSON body and of a query, with its bounds, as the contract has them."""
    for name, method, template, operation in operations():
        content = resolved(operation.get("requestBody", {})).get("content", {})
        fields = resolved(content.get("application/json", {}).get("schema", {}))
        for field, node in fields.get("properties", {}).items():
            node = resolved(node)
            if node.get("type") == "integer":
                yield name, method, template, "field", field, node
        for parameter in map(resolved, operation.get("parameters", [])):
            node = resolved(parameter["schema"])
            if parameter["in"] == "query" and node.get("type") == "integer":
                yield name, method, template, "parameter", parameter["name"], node


def test_the_contract_bounds_its_numbers():
    found = list(numbers())
    assert len(found) > 20
    for name, *_, field, node in found:
        assert "minimum" in node and "maximum" in node, (name, field)


@pytest.mark.parametrize("name, method, template, place, field, node", [
    pytest.param(*row, id=f"{row[0]}-{row[4]}") for row in numbers()])
def test_a_number_out_of_bounds_is_400_and_named(
        server, topic, name, method, template, place, field, node):
    low, high = node["minimum"], node["maximum"]
    texts = [str(low - 1), "-9223372036854775809", "9223372036854775808", "1" + "0" * 400, "1.5",
             "1e400", '"∞"', '"1"', "true", "[]", "1e0"]
    # What a query asks beyond a limit is cut down to it.
    if place == "field" and high < 2**63 - 1:
        texts += [str(high + 1), "1000000000000000"]
    path = template.replace("{topic}", topic).replace("{partition}", "0").replace(
        "{group}", "numbers").replace("{member}", "m")
    for text in texts:
        if place == "field":
            body = json.dumps({**BODIES.get(name, {}), field: "@"})
            body = body.replace("TOPIC", topic).replace('"@"', text).encode()
            options = {"data": body, "headers": {"Content-Type": "application/json"}}
            answer = server.request(method, path, **options)
        else:
            extra = "memberEpoch=1&" if name == "streamMember" and field != "memberEpoch" else ""
            answer = server.request(
                method, f"{path}?{extra}{field}={quote(text)}", json=BODIES.get(name),
                headers={"Accept": "text/event-stream"} if name == "streamMember" else {})
        assert answer.status == 400, (text, answer)
        assert answer.json[place] == field, (text, answer)


def test_a_topic_of_the_most_partitions_and_one_more(data):
    with Millrace(data) as server:
        assert server.put("/v1/topics/most", json={"partitions": 1000}).status == 201
        assert server.put("/v1/topics/more", json={"partitions": 1001}).status == 400
        assert server.get("/v1/topics/more").status == 404
        places = server.append("most", [{"value": 1, "partition": 999}])
        assert places == [{"partition": 999, "offset": 0}]


# Bodies

CANARY = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize("target, headers, status", [
    ("POST /v1/topics/absent/records", "", 404), ("PUT /livez", "", 405),
    ("PUT /v1/topics/big", "", 413), ("POST /v1/topics/own-t/records", "TOKEN", 401),
    ("POST /v1/topics/own-t/records", "Origin: http://evil.test\r\n", 403),
    ("POST /v1/topics/own-t/records", "Expect: 200-maybe\r\n", 417),
])
@pytest.mark.parametrize("framing", ["Content-Length: 1073741824", "Transfer-Encoding: chunked"])
def test_an_early_answer_to_a_gigabyte_ends_the_connection(
        server, tmp_path, target, headers, status, framing):
    """The rest is not read to its end, and none of it is a request."""
    if headers == "TOKEN":
        path = tmp_path / "access"
        access.write(path, access.LINES)
        with Millrace(tmp_path / "log", "--access-file", path) as guarded:
            _flood(guarded, target, "Authorization: Bearer no\r\n", framing, status)
    else:
        _flood(server, target, headers, framing, status)


def _flood(server, target, headers, framing, status):
    head = f"{target} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n{headers}{framing}\r\n\r\n"
    piece = CANARY * 2000
    if "chunked" in framing:
        piece = b"%x\r\n%s\r\n" % (len(piece), piece)
    sent, answer, deadline = 0, b"", time.monotonic() + 30
    with socket.create_connection((server.host, server.port), 10) as connection:
        connection.sendall(head.encode())
        connection.settimeout(0.05)
        while time.monotonic() < deadline:
            try:
                sent += connection.send(piece)
            except socket.timeout:
                pass
            except OSError:
                break
            try:
                more = connection.recv(1 << 16)
                answer += more
                if not more:
                    # It may still be reading, for as long as an answer takes to arrive.
                    time.sleep(0.05)
            except socket.timeout:
                pass
            except OSError:
                break
    assert time.monotonic() < deadline, f"still open after {sent} bytes"
    assert sent < 512 << 20
    assert answer.count(b"HTTP/1.1 ") == 1, answer[:2000]
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:2000]


def test_headers_of_a_record_are_data_and_never_headers_of_an_answer(server, topic):
    """API10: who writes records does not speak for the server."""
    fields = {
        "content-type": "text/html", "set-cookie": "a=b", "access-control-allow-origin": "*",
        "x-accel-redirect": "/etc/passwd", "location": "http://evil.test", "retry-after": "9",
        "content-length": "1", "transfer-encoding": "chunked", "etag": '"x"',
    }
    server.append(topic, [{"value": "x", "headers": fields}])
    raw = server.post(f"/v1/topics/{topic}/records", data=b"<script>",
                      headers={"Content-Type": "text/html"})
    assert raw.status == 200
    for accept in ("application/json", "application/x-ndjson", "text/event-stream"):
        with server.stream(f"/v1/topics/{topic}/records?from=earliest&maxRecords=2", accept) as answer:
            assert answer.headers["content-type"].startswith(accept)
            for name in set(fields) - {"content-type", "content-length", "transfer-encoding"}:
                assert name not in answer.headers, name
            assert b"<script>" in answer.content
