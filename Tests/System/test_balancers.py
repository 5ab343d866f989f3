"""The 490 HTTP/1.1 request vectors through haproxy and through nginx: no request reaches us that the
balancer did not mean to send (RELIABILITY.md, d-1). Both sides write down what they saw; whatever we saw
more often than the balancer says it sent was smuggled past it."""

import json
import shutil
import signal
import socket
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from millrace import Millrace, until
from test_http_vectors import FILE, exchange, statuses

HAPROXY = """
global
    # Of several threads one that finds another at the log drops its line (fd_write_frag_line).
    nbthread 1
    hard-stop-after 15s
    log stdout len 65535 format raw local0
defaults
    mode http
    log global
    log-format "%[var(txn.seen)] %b/%s %ST"
    option http-keep-alive
    http-reuse always
    timeout connect 5s
    timeout client 5s
    timeout server 10s
frontend front
    bind 127.0.0.1:{port}
    http-request set-var-fmt(txn.seen) "%[method] %[url]"
    default_backend back
backend back
    server millrace {upstream}
"""

NGINX = """
daemon off; worker_processes 1; error_log stderr crit; pid {directory}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
    {paths}
    log_format seen '$request_method $request_uri $upstream_addr';
    access_log {directory}/seen.log seen;
    client_max_body_size 64m; client_header_timeout 3s; client_body_timeout 3s;
    upstream back {{ server {upstream}; keepalive 32; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
            proxy_request_buffering off; proxy_pass http://back; proxy_read_timeout 10s;
        }}
    }}
}}
"""


class Front:
    """A balancer in front of a server; `sent` is what it says it passed on."""

    def __init__(self, name, directory, server):
        self.name, self.directory = name, directory
        self.upstream = upstream = f"{server.host}:{server.port}"
        self.host, self.port = "127.0.0.1", free_port()
        config = directory / f"{name}.conf"
        self.out = open(directory / f"{name}.out", "w+")
        if name == "haproxy":
            config.write_text(HAPROXY.format(port=self.port, upstream=upstream))
            command = ["haproxy", "-db", "-f", str(config)]
        else:
            paths = " ".join(
                f"{kind}_temp_path {directory}/{kind};"
                for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
            config.write_text(NGINX.format(
                port=self.port, upstream=upstream, directory=directory, paths=paths))
            command = ["nginx", "-c", str(config)]
        self.process = subprocess.Popen(command, stdout=self.out, stderr=subprocess.STDOUT)
        until(lambda: reaches(self), 10)

    def sent(self):
        if self.name == "haproxy":
            lines = (self.directory / "haproxy.out").read_text(errors="replace").splitlines()
            parts = [line.split(" ") for line in lines if line.count(" ") >= 3]
            return Counter(
                (part[0], path(part[1])) for part in parts if part[-2] == "back/millrace")
        sent = Counter()
        for line in (self.directory / "seen.log").read_text(errors="replace").splitlines():
            method, target, *addresses = line.split(" ")
            # One for each try, on a connection that had ended for example.
            sent[method, path(target)] += sum(a.rstrip(",") == self.upstream for a in addresses)
        return sent

    def stop(self):
        """Ends it when every request it took has ended, and stands in its log."""
        self.process.send_signal(signal.SIGUSR1 if self.name == "haproxy" else signal.SIGQUIT)
        try:
            assert self.process.wait(30) == 0
        finally:
            self.process.kill()
            self.out.close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def reaches(front):
    try:
        received, _ = exchange(front, b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        return statuses_of(received)[:1] == [200]
    except OSError:
        return False


def statuses_of(received):
    try:
        return statuses(received)
    except AssertionError:
        return []


def path(target):
    """Without query and authority: which form it goes out in is the balancer's choice. The access log
    cuts long ones."""
    return (urlsplit(target).path or target)[:200]


def seen(log):
    """What the server's access log says it was asked for, but for what it could not read."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return Counter((line["method"], path(line["path"])) for line in lines if "path" in line)


@pytest.mark.parametrize("name", ["haproxy", "nginx"])
def test_no_request_reaches_us_that_the_balancer_did_not_mean(name, data, tmp_path):
    if not shutil.which(name):
        pytest.skip(f"{name} is not installed")
    vectors = json.loads(FILE.read_text())
    log = tmp_path / "access.log"
    with Millrace(data, "--access-log", log) as server:
        front = Front(name, tmp_path, server)
        try:
            def send(numbered):
                number, vector = numbered
                canary = f"GET /canary-{number} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
                return exchange(front, vector["raw"].encode("latin-1") + canary.encode())

            with ThreadPoolExecutor(16) as pool:
                answers = list(pool.map(send, enumerate(vectors)))
            assert sum(1 for received, _ in answers if received) > 300
        finally:
            front.stop()
        sent = front.sent()
        assert server.process.poll() is None
        assert server.terminate() == 0
    assert sum(sent.values()) > 100
    smuggled = seen(log) - sent
    assert not smuggled, smuggled


# The PROXY protocol


def version_2(command, family, addresses=b""):
    """A header of version 2 (haproxy's proxy-protocol.txt, §2.2)."""
    head = b"\r\n\r\n\0\r\nQUIT\n" + bytes([0x20 | command, family])
    return head + len(addresses).to_bytes(2, "big") + addresses


ADDRESSES = bytes([192, 0, 2, 1, 192, 0, 2, 2]) + (1000).to_bytes(2, "big") + (80).to_bytes(2, "big")
LOCAL, PROXY, UNSPECIFIED, TCP_4 = 0, 1, 0, 0x11
SOURCES = {
    "v1 with a source": (b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 80\r\n", "192.0.2.1"),
    "v2 with a source": (version_2(PROXY, TCP_4, ADDRESSES), "192.0.2.1"),
    "v1 UNKNOWN": (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    "v1 UNKNOWN and words": (b"PROXY UNKNOWN ffff::1 ffff::2 1000 80\r\n", "127.0.0.1"),
    "v2 LOCAL": (version_2(LOCAL, TCP_4, ADDRESSES), "127.0.0.1"),
    "v2 of no family": (version_2(PROXY, UNSPECIFIED), "127.0.0.1"),
}


def test_a_connection_whose_proxy_header_names_no_source_is_its_peer_s(data, tmp_path):
    """A balancer that sends the header lets fields through as they came: one of them is the client's own word."""
    log = tmp_path / "access.log"
    forged = "X-Forwarded-For: 198.51.100.9\r\nForwarded: for=198.51.100.9\r\n"
    flags = ("--proxy-protocol", "--trusted-proxies", "127.0.0.1", "--access-log", log)
    with Millrace(data, *flags) as server:
        for number, (header, _) in enumerate(SOURCES.values()):
            request = f"GET /canary-{number} HTTP/1.1\r\nHost: a\r\n{forged}Connection: close\r\n\r\n"
            received, _ = exchange(server, header + request.encode())
            assert statuses_of(received) == [404], received
        entries = lambda: [json.loads(line) for line in log.read_text().splitlines()]
        until(lambda: len(entries()) == len(SOURCES))
    found = {entry["path"]: entry["client"] for entry in entries()}
    assert found == {f"/canary-{number}": client for number, (_, client) in enumerate(SOURCES.values())}
