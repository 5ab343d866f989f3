"""What browsers send on behalf of pages: Host, Origin, CORS (RELIABILITY.md, f)."""

import http.client

import pytest

from millrace import Millrace

TYPES = [
    "application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data",
    "application/x-ndjson", "application/cloudevents+json", None,
]


def ask(server, method, path, headers=(), body=None):
    """A request with exactly these fields: status, fields, body. Of a field with several lines one list."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=20)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    fields = dict(headers)
    fields.setdefault("Host", f"{server.host}:{server.port}")
    if body is not None:
        fields["Content-Length"] = len(body)
    for name, value in fields.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    lists = {name.lower(): ", ".join(answer.headers.get_all(name)) for name in answer.headers}
    result = answer.status, lists, b"" if lists.get("content-type") == "text/event-stream" else answer.read()
    connection.close()
    return result


@pytest.mark.parametrize("host,status", [
    ("evil.test", 421), ("evil.test:8080", 421), ("127.0.0.1.evil.test", 421),
    ("localhost.evil.test", 421), ("xlocalhost.test", 421), ("127.0.0.1.nip.io", 421),
    ("EVIL.TEST", 421), ("evil.test.", 421), ("1.2.3.4.5a", 421),
    ("localhost", 200), ("localhost:1", 200), ("LOCALHOST", 200), ("app.localhost", 200),
    ("127.0.0.1", 200), ("127.1.2.3:99", 200), ("[::1]", 200), ("[::1]:8080", 200),
    ("millrace:8080", 200), ("10.0.0.1", 200), ("localhost.", 200),
])
def test_host_is_checked_before_anything(server, topic, host, status):
    assert ask(server, "GET", "/livez", {"Host": host})[0] == status
    before = server.page(topic)["records"]
    answer = ask(server, "POST", f"/v1/topics/{topic}/records", {"Host": host}, b"x")
    assert answer[0] == (status if status != 200 else 200)
    assert len(server.page(topic)["records"]) == len(before) + (status == 200)
    if status == 421:
        assert b"--allowed-hosts" in answer[2] and host.encode() not in answer[2]


def test_hosts_can_be_listed(data):
    with Millrace(data, "--allowed-hosts", "gate.example, *.corp.example") as server:
        for host, status in [
            ("gate.example", 200), ("GATE.example:80", 200), ("x.corp.example", 200),
            ("a.b.corp.example", 200), ("corp.example", 421), ("xcorp.example", 421),
            ("gate.example.evil.test", 421), ("localhost", 200),
        ]:
            assert ask(server, "GET", "/livez", {"Host": host})[0] == status, host
    with Millrace(data, "--allowed-hosts", "*") as server:
        assert ask(server, "GET", "/livez", {"Host": "evil.test"})[0] == 200


@pytest.mark.parametrize("media", TYPES)
@pytest.mark.parametrize("fields", [
    {"Origin": "http://evil.test"}, {"Origin": "https://evil.test"}, {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"}, {"Origin": ""}, {"Origin": "http://127.0.0.1"},
    {"Origin": "http://evil.test", "Sec-Fetch-Site": "same-origin"},
])
def test_a_foreign_page_writes_nothing(server, topic, media, fields):
    headers = {**fields, **({"Content-Type": media} if media else {})}
    for method, path in [
        ("POST", f"/v1/topics/{topic}/records"), ("PUT", f"/v1/topics/{topic}-new"),
        ("DELETE", f"/v1/topics/{topic}"), ("PATCH", f"/v1/topics/{topic}"),
        ("POST", "/v1/groups/g/offsets"),
    ]:
        status, answer, _ = ask(server, method, path, headers, b'{"records":[{"value":1}]}')
        assert status == 403, (method, path)
        assert not [name for name in answer if name.startswith("access-control")]
    assert server.page(topic)["records"] == []
    assert server.get(f"/v1/topics/{topic}-new").status == 404


def test_without_cors_nothing_is_said_of_it(server, topic):
    own = f"http://{server.host}:{server.port}"
    for fields in ({}, {"Origin": own}, {"Origin": "http://evil.test"}, {"Origin": "null"}):
        for method in ("GET", "POST", "OPTIONS"):
            request = {**fields, "Access-Control-Request-Method": "POST"}
            status, answer, _ = ask(server, method, f"/v1/topics/{topic}/records", request, b"")
            assert not [name for name in answer if name.startswith("access-control")]
            if method == "OPTIONS":
                assert status in (403, 405)


@pytest.fixture(scope="module")
def open_server(tmp_path_factory):
    with Millrace(tmp_path_factory.mktemp("cors") / "log",
                  "--cors-origins", "https://app.example,http://localhost:3000") as running:
        running.create("t")
        yield running


@pytest.mark.parametrize("origin", ["https://app.example", "http://localhost:3000"])
def test_a_listed_origin_may_call(open_server, origin):
    status, fields, _ = ask(open_server, "POST", "/v1/topics/t/records",
                            {"Origin": origin, "Sec-Fetch-Site": "cross-site"}, b"x")
    assert status == 200
    assert fields["access-control-allow-origin"] == origin and fields["vary"] == "origin"
    assert "access-control-allow-credentials" not in fields
    status, fields, body = ask(open_server, "OPTIONS", "/v1/topics/t/records", {
        "Origin": origin, "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,x-\u00e9vil".encode("latin-1")})
    assert (status, body) == (204, b"")
    assert fields["access-control-allow-origin"] == origin
    assert "POST" in fields["access-control-allow-methods"]
    assert "authorization" in fields["access-control-allow-headers"]
    assert "vil" not in str(fields), "nothing is reflected"
    status, fields, _ = ask(open_server, "GET", "/v1/topics/absent", {"Origin": origin})
    assert status == 404 and fields["access-control-allow-origin"] == origin


def varies(fields):
    return {name.strip() for name in fields.get("vary", "").lower().split(",")}


@pytest.mark.parametrize("fields", [{}, {"Origin": "https://app.example"}, {"Origin": "https://evil.test"}])
def test_every_answer_says_that_it_varies_by_origin(open_server, fields):
    """A cache that kept the answer without an Origin would give it to the page, without its fields."""
    open_server.append("t", list(range(20)))
    status = lambda wanted: 403 if "evil" in str(fields) else wanted
    history = "/v1/topics/t/partitions/0/records?offset=0&maxRecords=10"
    for method, path, more, wanted in [
        ("GET", "/livez", {}, 200), ("GET", "/v1/topics/t", {}, 200), ("GET", "/v1/topics/absent", {}, 404),
        ("GET", "/nothing", {}, 404), ("GET", history, {}, 200), ("GET", history, {"If-None-Match": "*"}, 304),
        ("HEAD", history, {}, 200), ("GET", "/v1/topics/t/records", {"Accept": "text/event-stream"}, 200),
        ("POST", "/v1/topics/t/records", {}, 200), ("GET", "/livez", {"Host": "evil.test"}, 421),
    ]:
        found, answer, _ = ask(open_server, method, path, {**fields, **more}, b"x" if method == "POST" else None)
        assert found == (421 if wanted == 421 else status(wanted)), (method, path, more)
        assert "origin" in varies(answer), (method, path, more, answer)
        if found in (200, 304) and path == history:
            assert {"accept", "last-event-id"} <= varies(answer), "they are not in place of its own"


def test_a_page_may_send_gzip_and_the_attributes_of_an_event(open_server):
    wanted = "content-encoding, ce-id, ce-type, ce-source, ce-specversion"
    status, fields, _ = ask(open_server, "OPTIONS", "/v1/topics/t/records", {
        "Origin": "https://app.example", "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": wanted})
    assert status == 204
    assert set(wanted.split(", ")) <= set(fields["access-control-allow-headers"].split(", "))


@pytest.mark.parametrize("origin", [
    "https://app.example.evil.test", "https://app.example:444", "http://app.example", "null",
    "https://xapp.example", "https://app.example/", "HTTPS://APP.EXAMPLE", "https://app.exampl",
    "https://app.example, https://evil.test",
])
def test_another_origin_may_not(open_server, origin):
    for method in ("GET", "POST", "OPTIONS"):
        status, fields, _ = ask(open_server, method, "/v1/topics/t/records", {
            "Origin": origin, "Access-Control-Request-Method": "POST"}, b"x")
        assert status == 403
        assert not [name for name in fields if name.startswith("access-control")]


def test_a_preflight_for_a_private_network_is_refused(open_server):
    status, fields, _ = ask(open_server, "OPTIONS", "/v1/topics/t/records", {
        "Origin": "https://app.example", "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Private-Network": "true"})
    assert status == 403 and not [name for name in fields if name.startswith("access-control")]


def test_all_origins_but_null(data):
    with Millrace(data, "--cors-origins", "*") as server:
        status, fields, _ = ask(server, "GET", "/livez", {"Origin": "https://any.example"})
        assert status == 200 and fields["access-control-allow-origin"] == "*"
        assert ask(server, "GET", "/livez", {"Origin": "null"})[0] == 403


def test_what_a_request_brings_is_in_no_header(server, topic):
    """RELIABILITY.md d-1: response splitting."""
    from urllib.parse import quote
    for text in ("x\r\nSet-Cookie: a=b", "x\nInjected: 1", "\x00", "é", "canary<>"):
        for path in (f"/v1/topics/{quote(text, safe='')}", f"/v1/topics/{topic}/records?key={quote(text)}",
                     f"/v1/topics/{topic}/records?cursor={quote(text)}"):
            for method in ("GET", "POST"):
                _, fields, _ = ask(server, method, path, {"Last-Event-ID": "canary"}, b"x")
                assert "set-cookie" not in fields and "injected" not in fields
                assert "canary" not in str(fields)
