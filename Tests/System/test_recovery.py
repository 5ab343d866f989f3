"""A start after kill -9, made slow so that it can be watched and killed again (pitfall 12)."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time

import pytest
import requests

from millrace import Millrace

PARTITIONS, BATCHES, RECORDS = 4, 40, 100
SLOW_READS = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=pread64:delay_enter=300000")


@pytest.fixture
def free_port():
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    if subprocess.run([*SLOW_READS, "true"], capture_output=True).returncode != 0:
        pytest.skip("strace cannot trace here")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def scanned_mib(server):
    """What the last start scanned, as its log says."""
    lines = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
    return int([line for line in lines if line.get("message") == "serving"][-1]["scannedMiB"])


def kill_traced(server):
    """kill -9 of the program itself; strace ends with it."""
    pid = server.process.pid
    child = open(f"/proc/{pid}/task/{pid}/children").read().split()[0]
    os.kill(int(child), signal.SIGKILL)
    server.process.wait(30)


def ready_details(port, server, until):
    """What /readyz says while the server starts, until `until` has seen enough."""
    details, deadline = [], time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            answer = requests.get(f"http://127.0.0.1:{port}/readyz", timeout=5)
        except requests.ConnectionError:
            assert server.process.poll() is None, server.log()
            continue
        if answer.status_code == 200:
            break
        assert answer.status_code == 503 and int(answer.headers["Retry-After"]) >= 1
        details.append(answer.json()["detail"])
        if until(details):
            break
        time.sleep(0.05)
    return details


def test_recovery_says_how_far_it_is_and_a_kill_during_it_is_no_clean_stop(data, free_port):
    value = "x" * 500
    with Millrace(data) as server:
        server.create("t", partitions=PARTITIONS)
        for number in range(BATCHES):
            batch = [
                {"partition": p, "key": str(number), "value": value}
                for p in range(PARTITIONS) for _ in range(RECORDS)
            ]
            assert server.produce("t", batch).status == 200
        server.kill()
    for _ in range(2):
        listen = f"127.0.0.1:{free_port}"
        with Millrace(data, listen=listen, wrapper=SLOW_READS, wait=0) as server:
            details = ready_details(
                free_port, server, lambda seen: len({d for d in seen if "MiB scanned" in d}) >= 2
            )
            assert any("partitions are open" in detail for detail in details), (details, server.log())
            kill_traced(server)
    with Millrace(data) as server:
        records = server.read_all("t")
        assert len(records) == PARTITIONS * BATCHES * RECORDS
        assert scanned_mib(server) >= 7, "a killed recovery passed for a clean stop"
        assert server.terminate() == 0
    with Millrace(data) as server:
        assert scanned_mib(server) == 0
        assert len(server.read_all("t")) == len(records)
