"""curl and wrk, as a person would use them; python requests and the SSE libraries are in the other files."""

import json
import subprocess
import time

import pytest


def curl(*arguments, timeout=30, **options):
    command = ["curl", "-sS", "--noproxy", "*", *arguments]
    return subprocess.run(command, capture_output=True, timeout=timeout, check=True, **options).stdout


def test_curl_creates_produces_and_consumes(server):
    base = f"{server.base}/v1/topics/curl"
    assert json.loads(curl("-X", "PUT", base, "-d", '{"partitions":2}'))["name"] == "curl"
    batch = '{"records":[{"key":"alice","value":{"total":42}}]}'
    out = curl(f"{base}/records", "-H", "Content-Type: application/json", "-d", batch)
    place = json.loads(out)["offsets"][0]
    assert place["offset"] == 0
    record = json.loads(curl(f"{base}/records"))["records"][0]
    assert (record["key"], record["value"], record["partition"]) == (
        "alice", {"total": 42}, place["partition"])


def test_curl_sends_lines_from_a_pipe(server, topic):
    lines = b"".join(b'{"value":%d}\n' % n for n in range(5000))
    out = curl(
        f"{server.base}/v1/topics/{topic}/records", "-H", "Content-Type: application/x-ndjson",
        "-H", "Transfer-Encoding: chunked", "--data-binary", "@-", input=lines,
    )
    assert json.loads(out)["recordCount"] == 5000


def test_curl_with_expect_100_continue_sends_a_large_body(server, topic):
    body = b"x" * 1_000_000
    out = curl(
        f"{server.base}/v1/topics/{topic}/records", "-H", "Expect: 100-continue",
        "-H", "Content-Type: application/octet-stream", "--data-binary", "@-", input=body,
    )
    assert json.loads(out)["offsets"][0]["offset"] == 0
    assert server.page(topic)["records"][0]["value"] == body.decode()


def test_curl_long_polls(server, topic):
    url = f"{server.base}/v1/topics/{topic}/records?waitMs=20000"
    with subprocess.Popen(["curl", "-sS", "--noproxy", "*", url], stdout=subprocess.PIPE) as waiting:
        time.sleep(0.3)
        assert waiting.poll() is None
        server.append(topic, ["now"])
        out, _ = waiting.communicate(timeout=10)
    assert json.loads(out)["records"][0]["value"] == "now"


@pytest.mark.parametrize("accept, wanted", [
    ("application/x-ndjson", b'"value":"second"'), ("text/event-stream", b"event: record\nid: 0:2"),
])
def test_curl_streams(server, topic, accept, wanted):
    command = ["curl", "-sSN", "--noproxy", "*", "-H", f"Accept: {accept}",
               f"{server.base}/v1/topics/{topic}/records"]
    server.append(topic, ["first"])
    with subprocess.Popen(command, stdout=subprocess.PIPE) as stream:
        seen, deadline = b"", time.monotonic() + 20
        while b"first" not in seen and time.monotonic() < deadline:
            seen += stream.stdout.read1()
        server.append(topic, ["second"])
        while wanted not in seen and time.monotonic() < deadline:
            seen += stream.stdout.read1()
        stream.kill()
    assert wanted in seen


def test_wrk_with_64_connections_produces_without_an_error(server, topic, tmp_path):
    script = tmp_path / "post.lua"
    script.write_text(
        'wrk.method = "POST"\nwrk.body = "{\\"n\\":1}"\n'
        'wrk.headers["Content-Type"] = "application/octet-stream"\n'
        "done = function(s, l, r)\n"
        '  io.write(string.format("answers %d errors %d\\n", s.requests,\n'
        "    s.errors.connect + s.errors.read + s.errors.write + s.errors.status + s.errors.timeout))\n"
        "end\n"
    )
    command = ["wrk", "-t2", "-c64", "-d2s", "-s", str(script),
               f"{server.base}/v1/topics/{topic}/records"]
    out = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    answers, errors = [line.split() for line in out.splitlines() if line.startswith("answers")][0][1::2]
    assert int(answers) > 500 and int(errors) == 0
    written = server.get(f"/v1/topics/{topic}").json["partitions"][0]["highWatermark"]
    # At the end wrk drops up to one request on the way per connection.
    assert int(answers) <= written <= int(answers) + 64
