"""Authentication and authorization on the real program (RELIABILITY.md, f and A2)."""

import json
import os
import re
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

import access
import contract
from access import bearer
from millrace import BINARY, Millrace, run, until

# What each operation needs, written down here and nowhere else: (kind, operations). `open` needs
# nothing, `identity` any right token, `topic` and `group` the operation on the one in the path or,
# with none, any at all.
NEEDS = {
    "listTopics": ("identity", ""), "createTopic": ("topic", "create"),
    "describeTopic": ("topic", ""), "alterTopic": ("topic", "alter"),
    "deleteTopic": ("topic", "delete"), "deleteRecords": ("topic", "delete"),
    "produce": ("topic", "write"), "readTopic": ("topic", "read"),
    "readPartition": ("topic", "read"), "listGroups": ("identity", ""),
    "describeGroup": ("group", ""), "deleteGroup": ("group", "delete"),
    "commitOffsets": ("group", "commit"), "listOffsets": ("group", ""),
    "resetOffsets": ("group", "reset"), "createTicket": ("identity", ""),
    "joinGroup": ("group", "join"), "pollMember": ("group", "join"),
    "streamMember": ("group", "join"), "heartbeatMember": ("group", "join"),
    "leaveGroup": ("group", "join"),
    "live": ("open", ""), "ready": ("open", ""), "openAPI": ("open", ""),
    "metrics": ("server", "metrics"),
}
MAY = {
    "reader": {"topic": {"own": {"read"}}},
    "writer": {"topic": {"own": {"write"}}},
    "member": {"topic": {"own": {"read"}}, "group": {"own": {"join", "commit"}}},
    "denied": {},
}
CREATES = {"create", "join", "commit"}
BODIES = {
    "createTopic": {}, "alterTopic": {"retentionMs": 604800000}, "createTicket": {"topic": "TOPIC"},
    "produce": {"records": [{"value": 1}]},
    "commitOffsets": {"offsets": [{"topic": "TOPIC", "partition": 0, "offset": 0}]},
    "resetOffsets": {"to": "earliest"},
    "joinGroup": {"topics": ["TOPIC"]}, "pollMember": {"memberEpoch": 1},
    "heartbeatMember": {"memberEpoch": 1},
}


class Guarded:
    """A server with authentication and a token of each kind."""

    def __init__(self, directory):
        self.path = directory / "access.json"
        access.write(self.path, access.LINES)
        self.tokens = {
            line["principal"]: access.token(self.path, line["principal"])
            for line in access.LINES
        }
        self.tokens["expired"] = access.token(self.path, "admin", "--expires-in", "1s")
        self.tokens["revoked"] = access.token(self.path, "admin")
        assert run("token", "revoke", self.tokens["revoked"], "--access-file", self.path
                   ).returncode == 0
        self.log = directory / "access.log"
        self.server = Millrace(
            directory / "log", "--access-file", self.path, "--access-log", self.log,
            "--log-level", "trace")
        time.sleep(1.1)

    def ask(self, who, method, path, **options):
        headers = {**options.pop("headers", {}), **(bearer(self.tokens[who]) if who else {})}
        return self.server.request(method, path, headers=headers, **options)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    running = Guarded(tmp_path_factory.mktemp("guarded"))
    with running.server:
        for topic in ("own-t", "other-t"):
            assert running.ask("admin", "PUT", f"/v1/topics/{topic}", json={}).status == 201
            for group in ("own-g", "other-g"):
                assert running.ask(
                    "admin", "POST", f"/v1/groups/{group}/offsets",
                    json={"offsets": [{"topic": topic, "partition": 0, "offset": 0}]}).status == 204
        yield running
        assert running.server.process.poll() is None


def operations():
    for template, item in contract.DOCUMENT["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield operation["operationId"], method.upper(), template


def test_every_operation_has_a_row():
    assert {name for name, _, _ in operations()} == set(NEEDS)


def wanted(name, who, whose):
    """None where it must be let in; else the status that refuses it."""
    kind, needed = NEEDS[name]
    if kind == "open":
        return None
    if who in (None, "bad", "expired", "revoked"):
        return 401
    if name == "createTicket":
        kind, needed = "topic", "read"
    if kind == "identity" or who == "admin":
        return None
    if kind == "server":
        return 403
    allowed = MAY[who].get(kind, {}).get(whose, set())
    if needed in allowed or (needed == "" and allowed):
        return None
    return 403 if allowed or needed in CREATES else 404


@pytest.mark.parametrize("name,method,template", sorted(operations()))
def test_the_matrix(guarded, name, method, template):
    guarded.tokens["bad"] = "mr_" + "0" * 16 + "_" + "1" * 64
    for who in (None, "bad", "expired", "revoked", "reader", "writer", "member", "denied", "admin"):
        for whose in ("own", "other"):
            topic, group = f"{whose}-t", f"{whose}-g"
            if name.startswith("delete") and wanted(name, who, whose) is None:
                # What may be done is done to something that nothing else needs.
                topic, group = f"{whose}-{who}-t", f"{whose}-{who}-g"
                guarded.ask("admin", "PUT", f"/v1/topics/{topic}", json={})
                guarded.ask("admin", "POST", f"/v1/groups/{group}/offsets",
                            json={"offsets": [{"topic": topic, "partition": 0, "offset": 0}]})
            path = (template.replace("{topic}", topic).replace("{group}", group)
                    .replace("{partition}", "0").replace("{member}", "nobody"))
            if name == "streamMember":
                path += "?memberEpoch=1"
            # Each member joins a group of its own, so that no commit of another row is refused.
            if name == "joinGroup" and wanted(name, who, whose) is None and who == 'admin':
                path = path.replace(f"{whose}-g", f"{whose}-joined")
            if name == "deleteRecords":
                path += "?before=0"
            body = BODIES.get(name)
            if body is not None:
                body = json.loads(json.dumps(body).replace("TOPIC", topic))
            answer = guarded.ask(who, method, path, json=body)
            case, status = (name, who, whose), wanted(name, who, whose)
            if status is not None:
                # After too many failures of one address 429 takes the place of 401.
                assert answer.status in ({401, 429} if status == 401 else {status}), (case, answer)
                if answer.status == 401:
                    assert answer.headers["www-authenticate"].startswith("Bearer "), case
                if status == 403:
                    assert answer.json["operations"], case
            elif name in ("pollMember", "streamMember", "heartbeatMember", "leaveGroup"):
                # Let in, and then there is no such member.
                assert answer.code == "unknown-member", (case, answer)
            elif name == "joinGroup" and who == "member":
                # A member that stays would be in the way of the other rows.
                assert answer.status == 201, (case, answer)
                guarded.ask("member", "DELETE", f"{path}/{answer.json['memberId']}")
            elif name == "commitOffsets" and who == "member" and whose == "other":
                assert answer.status in (403, 404), (case, answer)
            else:
                assert answer.status < 300, (case, answer)


def test_what_one_may_not_see_looks_as_if_it_were_not_there(guarded):
    for path in ("/v1/topics/{}", "/v1/topics/{}/records", "/v1/topics/{}/partitions/0/records"):
        hidden = guarded.ask("reader", "GET", path.format("other-t"))
        absent = guarded.ask("reader", "GET", path.format("other-x"))
        assert hidden.status == absent.status == 404
        assert hidden.body.replace(b"other-t", b"other-x") == absent.body
    hidden = guarded.ask("member", "GET", "/v1/groups/other-g")
    absent = guarded.ask("member", "GET", "/v1/groups/other-x")
    assert hidden.body.replace(b"other-g", b"other-x") == absent.body
    for body in ({"offsets": [{"topic": "T", "partition": 0, "offset": 0}]},
                 {"topic": "T", "cursor": "0:0~00000000"}, {"cursor": "T/0:0"}):
        answers = [
            guarded.ask("member", "POST", "/v1/groups/own-g/offsets",
                        json=json.loads(json.dumps(body).replace("T", topic)))
            for topic in ("other-t", "other-x")]
        assert answers[0].status == 404
        assert answers[0].body.replace(b"other-t", b"other-x") == answers[1].body


def test_lists_show_what_one_may_see(guarded):
    names = lambda who: {t["name"] for t in guarded.ask(who, "GET", "/v1/topics").json["topics"]}
    assert names("reader") and all(name.startswith("own") for name in names("reader"))
    assert {"own-t", "other-t"} <= names("admin")
    assert names("denied") == set()
    groups = lambda who: {g["group"] for g in guarded.ask(who, "GET", "/v1/groups").json["groups"]}
    assert groups("reader") == set() and all(g.startswith("own") for g in groups("member"))
    # A group's offsets name topics: only those one may see.
    offsets = guarded.ask("member", "GET", "/v1/groups/own-g/offsets").json["offsets"]
    assert {entry["topic"] for entry in offsets} == {"own-t"}


def test_no_other_spelling_of_a_name_gets_around_a_rule_that_denies_it(guarded):
    assert guarded.ask("admin", "PUT", "/v1/topics/K-pay", json={}).status == 201
    assert guarded.ask("admin", "POST", "/v1/topics/K-pay/records", data=b"1").status == 200
    # Percent-encoded, a NUL or slash with it, and the Kelvin sign, which Unicode calls equal.
    for name in ("K-pay", "%4B-pay", "K%2Dpay", "%E2%84%AA-pay", "%4b-pay"):
        for method, path in (
                ("GET", ""), ("GET", "/records?from=earliest"), ("POST", "/records"),
                ("GET", "/partitions/0/records?offset=0"), ("DELETE", "")):
            answer = guarded.ask("most", method, f"/v1/topics/{name}{path}", data=b"2" * (
                method == "POST") or None)
            assert (answer.status, answer.code) in (
                (404, "unknown-topic"), (403, "forbidden")), (name, method, path, answer)
    for name in ("K-pay", "\u212a-pay"):
        for method, path, body in (
                ("POST", "offsets", {"offsets": [{"topic": name, "partition": 0, "offset": 1}]}),
                ("POST", "offsets", {"cursor": f"{name}/0:1"}),
                ("PUT", "offsets", {"to": "latest", "topics": [name]}),
                ("POST", "members", {"topics": [name]})):
            answer = guarded.ask("most", method, f"/v1/groups/around/{path}", json=body)
            assert answer.status in (400, 404), (name, method, path, answer)
    assert guarded.ask("admin", "GET", "/v1/groups/around").status == 404
    records = guarded.ask("admin", "GET", "/v1/topics/K-pay/records?from=earliest").json["records"]
    assert [record["value"] for record in records] == [1]


def test_a_group_tells_nothing_of_topics_one_may_not_see(guarded):
    group = "/v1/groups/own-shared"
    joined = guarded.ask("admin", "POST", f"{group}/members", json={"topics": ["other-t"]}).json
    member, epoch = joined["memberId"], joined["memberEpoch"]
    assert joined["assignment"]
    described = guarded.ask("member", "GET", group)
    assert described.status == 200 and b"other-t" not in described.body
    assert b"other-t" in guarded.ask("admin", "GET", group).body
    poll = lambda who, **body: guarded.ask(
        who, "POST", f"{group}/members/{member}/poll", json={"memberEpoch": epoch, **body})
    # Speaking for a member that reads what one may not see: as if it were not there, and nothing
    # is stored.
    answer = poll("member")
    assert (answer.status, answer.code) == (404, "unknown-member") and b"other-t" not in answer.body
    hidden, absent = (poll("member", commit=f"{name}/0:0") for name in ("other-t", "other-x"))
    assert hidden.status == 404 and hidden.body.replace(b"other-t", b"other-x") == absent.body
    assert guarded.ask("admin", "GET", f"{group}/offsets").json["offsets"] == []
    assert poll("admin", commit="other-t/0:0").status == 200
    assert guarded.ask("admin", "DELETE", f"{group}/members/{member}").status == 204


def test_a_wrong_epoch_tells_nothing_of_topics_one_may_not_see(guarded):
    group = "/v1/groups/own-fenced"
    joined = guarded.ask("admin", "POST", f"{group}/members", json={"topics": ["own-t", "other-t"]}).json
    member, epoch = joined["memberId"], joined["memberEpoch"] + 7
    commit = {"memberEpoch": epoch, "offsets": [{"topic": "own-t", "partition": 0, "offset": 0}]}

    def requests_of(who, member):
        path = f"{group}/members/{member}"
        return {
            "poll": guarded.ask(who, "POST", f"{path}/poll", json={"memberEpoch": epoch}),
            "heartbeat": guarded.ask(who, "POST", f"{path}/heartbeat", json={"memberEpoch": epoch}),
            "stream": guarded.ask(who, "GET", f"{path}/records?memberEpoch={epoch}",
                                  headers={"Accept": "text/event-stream"}),
            "commit": guarded.ask(who, "POST", f"{group}/offsets", json={"memberId": member, **commit}),
        }

    absent = requests_of("member", "m" * len(member))
    for name, answer in requests_of("member", member).items():
        assert (answer.status, answer.code) == (404, "unknown-member"), name
        assert answer.body.replace(member.encode(), b"m" * len(member)) == absent[name].body
    for name, answer in requests_of("admin", member).items():
        assert (answer.status, answer.code) == (409, "fenced-member-epoch"), name
        assert "other-t" in str(answer.json["assignment"])
    assert guarded.ask("admin", "DELETE", f"{group}/members/{member}").status == 204


@pytest.mark.parametrize("header", [
    "{}", "bearer{}", "Basic {}", "Token {}", "Bearer\t{}", "Bearer {} x", "Bearer  ", "Bearer",
    "Bearer \"{}\"", "Bearer {},Bearer {}",
])
def test_the_token_stands_behind_bearer_only(guarded, header):
    token = guarded.tokens["admin"]
    text = header.format(*[token] * header.count("{}"))
    answer = guarded.server.get("/v1/topics", headers={"Authorization": text})
    assert answer.status in (401, 429), answer
    assert token not in answer.body.decode()


def test_the_token_stands_nowhere_else(guarded):
    token = guarded.tokens["admin"]
    for path, headers in [
        ("/v1/topics?access_token=" + token, {}), ("/v1/topics?token=" + token, {}),
        ("/v1/topics", {"Cookie": f"token={token}"}), ("/v1/topics", {"X-Api-Key": token}),
        ("/v1/topics", {"Proxy-Authorization": f"Bearer {token}"}),
        (f"/v1/topics/own-t/records?ticket={token}", {"Accept": "text/event-stream"}),
    ]:
        assert guarded.server.get(path, headers=headers).status in (400, 401, 429), path
    both = requests.get(
        guarded.server.base + "/v1/topics", headers={"authorization": f"bearer {token}"})
    assert both.status_code == 200, "the scheme is compared without case"


def revoke_while(guarded, start, token):
    """Starts a request, revokes its token, and the seconds until the request ended."""
    ended = threading.Event()
    threading.Thread(target=lambda: (start(), ended.set()), daemon=True).start()
    time.sleep(0.5)
    assert not ended.is_set()
    began = time.monotonic()
    revoked = run("token", "revoke", token[3:19], "--access-file", guarded.path)
    assert revoked.returncode == 0, revoked.stderr
    assert ended.wait(20)
    return time.monotonic() - began


@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson"])
def test_a_revoked_token_cuts_its_streams_and_no_others(guarded, accept):
    mine = access.token(guarded.path, "reader")
    until(lambda: guarded.server.get("/v1/topics", headers=bearer(mine)).status == 200)
    other = guarded.server.stream("/v1/topics/own-t/records", accept, **bearer(guarded.tokens["reader"]))

    def read():
        with guarded.server.stream("/v1/topics/own-t/records", accept, **bearer(mine)) as stream:
            for _ in stream.iter_lines():
                pass

    assert revoke_while(guarded, read, mine) < 5
    assert guarded.server.get("/v1/topics", headers=bearer(mine)).status in (401, 429)
    with other, ThreadPoolExecutor() as pool:
        lines = pool.submit(lambda: next(line for line in other.iter_lines() if b"still" in line))
        guarded.ask("writer", "POST", "/v1/topics/own-t/records",
                    json={"records": [{"value": "still there"}]})
        assert lines.result(10)


def test_a_revoked_token_ends_long_polls_and_uploads(guarded):
    mine = access.token(guarded.path, "admin")
    until(lambda: guarded.server.get("/v1/topics", headers=bearer(mine)).status == 200)
    poll = lambda: guarded.server.get(
        "/v1/topics/own-t/records?from=latest&waitMs=50000", headers=bearer(mine))
    assert revoke_while(guarded, poll, mine) < 5
    mine = access.token(guarded.path, "writer")
    until(lambda: guarded.server.get("/v1/topics", headers=bearer(mine)).status == 200)

    def lines():
        for number in range(2000):
            yield b'{"value":%d}\n' % number
            time.sleep(0.01)

    def upload():
        answer = requests.post(guarded.server.base + "/v1/topics/own-t/records", data=lines(),
                               headers={**bearer(mine), "Content-Type": "application/x-ndjson"})
        # As in a drain: what came so far is appended, and the problem says how much that is.
        assert answer.status_code == 503 and answer.json()["recordCount"] < 2000

    assert revoke_while(guarded, upload, mine) < 5


def test_an_expiring_token_cuts_its_stream(guarded):
    mine = access.token(guarded.path, "reader", "--expires-in", "3s")
    until(lambda: guarded.server.get("/v1/topics", headers=bearer(mine)).status == 200)
    began = time.monotonic()
    with guarded.server.stream(
            "/v1/topics/own-t/records", "text/event-stream", **bearer(mine)) as stream:
        for _ in stream.iter_lines():
            pass
    assert time.monotonic() - began < 8


def test_sighup_reads_the_file_again_and_a_bad_one_changes_nothing(guarded):
    before = guarded.path.read_bytes()
    try:
        guarded.path.write_bytes(before + b"nonsense\n")
        guarded.server.process.send_signal(signal.SIGHUP)
        until(lambda: "is not taken" in guarded.server.log())
        assert guarded.ask("admin", "GET", "/v1/topics").status == 200
    finally:
        guarded.path.write_bytes(before)
    count = guarded.server.log().count("was read again")
    guarded.server.process.send_signal(signal.SIGHUP)
    until(lambda: guarded.server.log().count("was read again") > count)


def test_a_ticket_opens_one_stream_of_its_topic(guarded):
    ticket = guarded.ask("reader", "POST", "/v1/tickets", json={"topic": "own-t"})
    assert ticket.status == 201 and ticket.headers["cache-control"] == "no-store"
    path = f"/v1/topics/own-t/records?ticket={ticket.json['ticket']}"
    page = guarded.server.get(path)
    assert page.status == 400, "pages need a token"
    with guarded.server.stream(path, "text/event-stream") as stream:
        assert stream.status_code == 200
    assert guarded.server.get(path, headers={"Accept": "text/event-stream"}).status in (401, 429)
    other = guarded.ask("admin", "POST", "/v1/tickets", json={"topic": "own-t"}).json["ticket"]
    for place in ("/v1/topics/other-t/records", "/v1/topics/own-t/partitions/0/records"):
        answer = guarded.server.get(
            f"{place}?ticket={other}", headers={"Accept": "text/event-stream"})
        assert answer.status in (401, 429), answer
        assert other not in answer.body.decode()
    assert guarded.server.post(
        f"/v1/topics/own-t/records?ticket={other}", json={"records": []}).status in (400, 401)


def test_a_hundred_thousand_bad_tokens_are_limited(guarded):
    """API2: brute force; the right token from the same address still works."""
    with requests.Session() as session:
        statuses = [
            session.get(guarded.server.base + "/v1/topics",
                        headers=bearer(f"mr_{number:016x}_{number:064x}")).status_code
            for number in range(300)]
        assert statuses[-1] == 429 and set(statuses) <= {401, 429}
        answer = session.get(guarded.server.base + "/v1/topics", headers=bearer("mr_x"))
        assert 1 <= int(answer.headers["retry-after"]) <= 2
        assert session.get(guarded.server.base + "/v1/topics",
                           headers=bearer(guarded.tokens["admin"])).status_code == 200


HOSTILE = [
    "\r\nlevel: forged", "\n{\"level\":\"error\"}", "\x1b[31mred", "\u202eevil", "' or 1=1 --",
    "<script>alert(1)</script>", "${jndi:ldap://x}", "%00", "../../etc/passwd", "\x7f\x08",
    "\ufeff", "𝕋𝕙𝕖", "a" * 5000, "\"", "\\", "{{7*7}}", "%n%s%d",
]


def test_no_log_shows_a_secret_and_no_request_forges_a_line(guarded):
    """Canaries: after all that, no log, metric or answer holds a token, ticket or signature."""
    from urllib.parse import quote
    secrets = list(guarded.tokens.values())
    seen = [guarded.server.get("/metrics").body, guarded.ask("admin", "GET", "/metrics").body]
    for text in HOSTILE:
        path = "/v1/topics/" + quote(text, safe="")
        seen += [
            guarded.ask("admin", "GET", path).body,
            guarded.ask("admin", "POST", path + "/records?key=" + quote(text, safe=""),
                        data=text.encode(), headers={"User-Agent": quote(text)}).body,
            guarded.server.get(
                "/v1/topics", headers={"Authorization": b"Bearer " + quote(text).encode()}).body,
        ]
    ticket = guarded.ask("reader", "POST", "/v1/tickets", json={"topic": "own-t"}).json["ticket"]
    with guarded.server.stream(
            f"/v1/topics/own-t/records?ticket={ticket}", "text/event-stream") as stream:
        seen.append(str(stream.headers).encode())
    secrets.append(ticket)
    web = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.Y2FuYXJ5c2lnbmF0dXJl"
    seen.append(guarded.server.get("/v1/topics", headers=bearer(web)).body)
    secrets.append(web)
    until(lambda: b"/v1/tickets" in guarded.log.read_bytes())
    time.sleep(0.3)
    logs = guarded.log.read_bytes() + guarded.server.log().encode()
    for place in [logs, *seen, guarded.path.read_bytes()]:
        for secret in secrets:
            assert secret.encode() not in place
            assert secret[20:].encode() not in place
    for line in guarded.log.read_text().splitlines() + guarded.server.log().splitlines():
        entry = json.loads(line)
        assert "forged" not in entry and entry.get("level") != "red"
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", logs), "control bytes are escaped"


def test_the_command_makes_lists_and_revokes(tmp_path):
    path = tmp_path / "access.json"
    assert run("token", "list", "--access-file", path).returncode == 1
    assert run("token", "create", "web", "--access-file", path).returncode == 1
    assert run("token", "create", "web", "--allow", "topic:a=fly", "--access-file", path
               ).returncode == 1
    assert run("token", "create", "web", "--expires-in", "soon", "--access-file", path
               ).returncode == 2
    first = access.token(path, "web", "--allow", "topic:a.*=read", "--note", "laptop")
    assert re.fullmatch(r"mr_[0-9a-f]{16}_[0-9a-f]{64}", first)
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("# ours\n" + path.read_text())
    listed = run("token", "list", env={"MILLRACE_ACCESS_FILE": str(path)})
    assert first[3:19] in listed.stdout and first[20:] not in listed.stdout
    assert "laptop" in listed.stdout
    assert first[20:] not in path.read_text() and path.read_text().startswith("# ours\n")
    assert run("token", "revoke", first[3:19], "--access-file", path).returncode == 0
    assert run("token", "revoke", first[3:19], "--access-file", path).returncode == 1
    assert first[3:19] not in run("token", "list", "--access-file", path).stdout
    path.chmod(0o644)
    refused = run("token", "list", "--access-file", path)
    assert refused.returncode == 1 and "chmod 600" in refused.stderr
    started = run("serve", "--data", tmp_path / "log", "--listen", "127.0.0.1:0",
                  "--access-file", path)
    assert started.returncode == 1 and "chmod 600" in started.stderr


def test_a_token_that_could_not_be_shown_is_none(tmp_path):
    path = tmp_path / "access.json"
    shown = access.token(path, "web", "--allow", "topic:a=read")
    before = path.read_bytes()
    with open("/dev/full", "w") as full:
        made = subprocess.run([BINARY, "token", "create", "web", "--access-file", path],
                              stdout=full, stderr=subprocess.PIPE, text=True, timeout=30)
    assert made.returncode == 1 and "cannot be shown" in made.stderr, made
    assert path.read_bytes() == before and shown[3:19] in before.decode()


def test_a_link_to_the_access_file_stays_one(tmp_path):
    for name in ("secrets", "service"):
        (tmp_path / name).mkdir()
    path, link = tmp_path / "secrets" / "access.json", tmp_path / "service" / "access.json"
    first = access.token(path, "web", "--allow", "topic:a=read")
    link.symlink_to("../secrets/access.json")
    second = access.token(link, "web")
    assert link.is_symlink() and os.readlink(link) == "../secrets/access.json"
    assert second[3:19] in path.read_text() and not path.is_symlink()
    assert run("token", "revoke", first[3:19], "--access-file", link).returncode == 0
    assert link.is_symlink() and first[3:19] not in path.read_text()
    listed = run("token", "list", "--access-file", path).stdout
    assert second[3:19] in listed and first[3:19] not in listed
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_hundred_edits_at_once_are_all_kept(tmp_path):
    """Pitfall 50: concurrent edits of ACLs lose entries (KAFKA-3328)."""
    path = tmp_path / "access.json"
    access.token(path, "web", "--allow", "topic:a=read")
    processes = [
        subprocess.Popen([BINARY, "token", "create", "web", "--access-file", str(path)],
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(100)]
    assert [process.wait(60) for process in processes] == [0] * 100
    assert run("token", "list", "--access-file", path).stdout.count(" web") == 101
    assert sorted(os.listdir(tmp_path)) == ["access.json", "access.json.lock"]


def test_quotas_tell_a_true_retry_after(tmp_path):
    path = tmp_path / "access.json"
    access.write(path, [
        {"principal": "few", "allow": ["topic:*=all"], "quota": {"requestsPerSecond": 2}},
        {"principal": "small", "allow": ["topic:*=all"], "quota": {"bytesInPerSecond": 1000}},
        {"principal": "slow", "allow": ["topic:*=all"], "quota": {"bytesOutPerSecond": 20000}},
        {"principal": "free", "allow": ["topic:*=all"]},
    ])
    tokens = {who: access.token(path, who) for who in ("few", "small", "slow", "free")}
    with Millrace(tmp_path / "log", "--access-file", path) as server:
        ask = lambda who, method="GET", path="/v1/topics", **o: server.request(
            method, path, headers=bearer(tokens[who]), **o)
        assert ask("free", "PUT", "/v1/topics/t", json={}).status == 201
        statuses = [ask("few").status for _ in range(8)]
        assert statuses[:4] == [200] * 4 and 429 in statuses
        refused = until(lambda: (a := ask("few")).status == 429 and a)
        assert refused.code == "quota-exceeded" and refused.json["quota"] == "requestsPerSecond"
        time.sleep(int(refused.headers["retry-after"]))
        assert ask("few").status == 200, "what Retry-After says is true"
        # A body of six seconds' worth beyond the burst.
        assert ask("small", "POST", "/v1/topics/t/records", data=b"x" * 5000).status == 200
        refused = ask("small")
        assert refused.status == 429 and 2 <= int(refused.headers["retry-after"]) <= 4
        time.sleep(int(refused.headers["retry-after"]))
        assert ask("small").status == 200
        assert [ask("free").status for _ in range(50)] == [200] * 50
        # A stream is slowed down and not refused.
        ask("free", "POST", "/v1/topics/t/records", json={"records": [{"value": "y" * 1000}] * 120})
        began = time.monotonic()
        with server.stream("/v1/topics/t/records?maxRecords=120", "application/x-ndjson",
                           **{**bearer(tokens["slow"]), "Accept-Encoding": "identity"}) as stream:
            assert sum(1 for line in stream.iter_lines() if b'"offset"' in line) == 120
        # 130 kB at 20 kB a second behind a burst of 40 kB, and all of it paid for at the end.
        assert time.monotonic() - began >= 2
        assert ask("slow").status == 200


def test_off_loopback_it_wants_a_file_or_a_waiver(tmp_path):
    path = tmp_path / "access.json"
    access.token(path, "web", "--allow", "topic:a=read")
    refused = run("serve", "--data", tmp_path / "log", "--listen", "0.0.0.0:0")
    assert refused.returncode == 1 and "--access-file" in refused.stderr
    with Millrace(tmp_path / "log", "--access-file", path, listen="0.0.0.0:0") as server:
        assert server.get("/livez").status == 200
        assert server.get("/v1/topics").status == 401


def test_the_quota_of_bytes_slows_an_upload_of_lines_down_while_it_runs(tmp_path):
    """Each of its lines is let in as fast as the quota says: no debt of hours is left behind it."""
    path = tmp_path / "access.json"
    access.write(path, [{"principal": "up", "allow": ["topic:*=all"], "quota": {"bytesInPerSecond": 200_000}}])
    headers = bearer(access.token(path, "up"))
    line = b'{"value":"' + b"x" * 987 + b'"}\n'
    with Millrace(tmp_path / "log", "--access-file", path) as server:
        server.put("/v1/topics/t", headers=headers)
        began = time.monotonic()
        answer = server.post("/v1/topics/t/records", data=line * 900,
                             headers={**headers, "Content-Type": "application/x-ndjson"})
        assert answer.status == 200 and answer.json["recordCount"] == 900
        # 900 kB at 200 kB a second behind a burst of 400 kB.
        assert time.monotonic() - began >= 1.5
        after = server.get("/v1/topics", headers=headers)
        assert after.status == 200 or int(after.headers["retry-after"]) <= 2, after


def test_whose_rules_stand_in_the_token_alone_is_held_to_the_rate_of_all(tmp_path):
    path = tmp_path / "access.json"
    access.write_with_web_tokens(path, [
        {"principal": who, "allow": ["topic:*=read"]} for who in ("listed", "both")])
    rules = {"allow": ["topic:*=read"]}
    with Millrace(tmp_path / "log", "--access-file", path, "--requests-per-second", 1) as server:
        for tokens in (
            [access.web_token("listed")], [access.web_token("both", rules=rules)],
            [access.web_token("stranger", rules=rules)],
            # Of one who has many tokens, too.
            [access.web_token("many", rules=rules, jti=str(number)) for number in range(20)],
        ):
            answers = [server.get("/v1/topics", headers=bearer(tokens[n % len(tokens)])) for n in range(20)]
            assert answers[0].status == 200 and answers[-1].status == 429, answers
            assert answers[-1].code == "quota-exceeded"


def test_a_right_web_token_gets_in_from_where_many_wrong_ones_came(tmp_path):
    """Those behind one balancer share an address: its wrong tokens must not lock the others out."""
    path = tmp_path / "access.json"
    access.write_with_web_tokens(path, [{"principal": "web", "allow": ["topic:*=read"]}])
    with Millrace(tmp_path / "log", "--access-file", path) as server:
        wrong = lambda: server.get("/v1/topics", headers=bearer("wrong")).status
        assert {wrong() for _ in range(25)} <= {401, 429}
        until(lambda: wrong() == 429)
        for number in range(5):
            fresh = bearer(access.web_token("web", jti=str(number)))
            assert server.get("/v1/topics", headers=fresh).status == 200
            forged = bearer(access.web_token("web", jti=str(number))[:-4] + "AAAA")
            assert server.get("/v1/topics", headers=forged).status in (401, 429)
