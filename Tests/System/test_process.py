"""The program: its first line, its exit statuses, its drain (DESIGN.md §5, "The program")."""

import os
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

import aborts
import contract
from millrace import BINARY, Millrace, run, until


def test_one_line_on_standard_output_says_where_it_listens(data):
    with Millrace(data) as server:
        assert server.port > 0 and server.get("/readyz").status == 200
        assert server.terminate() == 0
        rest = []
        while (line := server.lines.get(timeout=5)) is not None:
            rest.append(line)
    assert not [line for line in rest if "listening" in line]


def test_its_start_says_where_the_data_lies_and_how_durable_it_is(data):
    with Millrace(data, listen="127.0.0.1:0") as server:
        server.terminate()
        said = server.log()
        while (line := server.lines.get(timeout=5)) is not None:
            said += line
    assert str(data) in said and "fdatasync" in said


@pytest.mark.parametrize("arguments", [
    ["serve", "--nonsense"], ["serve", "--listen", "nowhere"], ["serve", "--listen", "127.0.0.1:70000"],
    ["serve", "--max-body-bytes", "-1"], ["serve", "--max-body-bytes", "many"],
    ["serve", "--auto-create-partitions", "0"], ["serve", "--auto-create-partitions", "5000"],
    ["nonsense"], ["serve", "surplus"],
])
def test_a_usage_error_is_exit_status_2(arguments, tmp_path):
    ended = subprocess.run(
        [BINARY, *arguments], capture_output=True, text=True, timeout=20, cwd=tmp_path
    )
    assert ended.returncode == 2 and ended.stderr and not ended.stdout
    assert list(tmp_path.iterdir()) == [], "nothing was created"


def test_help_is_exit_status_0():
    ended = run("serve", "--help")
    assert ended.returncode == 0 and "--max-body-bytes" in ended.stdout


def test_a_variable_stands_for_each_flag_and_a_flag_wins(data, tmp_path):
    with Millrace(data, env={"MILLRACE_MAX_BODY_BYTES": "10"}) as server:
        server.put("/v1/topics/t")
        assert server.produce("t", ["x" * 100]).code == "body-too-large"
        server.terminate()
    with Millrace(data, "--max-body-bytes", 1000, env={"MILLRACE_MAX_BODY_BYTES": "10"}) as server:
        assert server.produce("t", ["x" * 100]).status == 200
    ended = run("serve", "--data", tmp_path / "other", env={"MILLRACE_LISTEN": "nowhere"})
    assert ended.returncode == 2


def test_a_switch_has_a_variable_too(data, tmp_path):
    def ended(value):
        return run("serve", "--data", tmp_path / "other", "--listen", "0.0.0.0:0",
                   env={"MILLRACE_ALLOW_ANONYMOUS": value}).returncode

    assert [ended(value) for value in ("false", "0", "")] == [1, 1, 1], "it is off"
    assert ended("perhaps") == 2
    with Millrace(data, listen="0.0.0.0:0", env={"MILLRACE_ALLOW_ANONYMOUS": "true"}) as server:
        assert server.get("/livez").status == 200
    env = {"MILLRACE_PROXY_PROTOCOL": "true"}
    assert run("serve", "--data", tmp_path / "other", env=env).returncode == 2, "without --trusted-proxies"


def test_a_taken_port_is_exit_status_1(data, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("serve", "--data", data, "--listen", f"127.0.0.1:{port}")
    assert ended.returncode == 1 and str(port) in ended.stderr, ended.stderr


def test_a_directory_in_use_is_exit_status_1_and_the_first_goes_on(data):
    """Pitfall 29: two processes on one directory, also while the first is stopped."""
    with Millrace(data) as server:
        server.create("t")
        server.process.send_signal(signal.SIGSTOP)
        try:
            ended = run("serve", "--data", data, "--listen", "127.0.0.1:0")
        finally:
            server.process.send_signal(signal.SIGCONT)
        assert ended.returncode == 1 and str(data) in ended.stderr, ended.stderr
        assert "listening" not in ended.stdout
        assert server.append("t", [1])


def test_a_directory_that_cannot_be_made_is_exit_status_1(tmp_path):
    (tmp_path / "file").write_text("")
    ended = run("serve", "--data", tmp_path / "file" / "log", "--listen", "127.0.0.1:0")
    assert ended.returncode == 1 and ended.stderr


def test_an_address_others_can_reach_needs_to_be_allowed(data):
    """A1: loopback only, unless said otherwise."""
    ended = run("serve", "--data", data, "--listen", "0.0.0.0:0")
    assert ended.returncode == 1 and "--access-file" in ended.stderr


def test_a_new_process_binds_right_after_kill_9(data):
    with Millrace(data) as server:
        server.create("t")
        listen = f"127.0.0.1:{server.port}"
        # Connections that are open when it dies leave the port in TIME_WAIT and FIN_WAIT.
        clients = [socket.create_connection((server.host, server.port)) for _ in range(20)]
        for client in clients:
            client.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        server.kill()
    with Millrace(data, listen=listen) as server:
        assert f"127.0.0.1:{server.port}" == listen
        assert server.get("/v1/topics/t").status == 200
    for client in clients:
        client.close()


def test_a_clean_stop_and_start_keeps_everything(data):
    with Millrace(data) as server:
        server.create("t", partitions=2)
        server.append("t", list(range(100)))
        before = server.read_all("t")
        assert server.terminate() == 0
    with Millrace(data) as server:
        assert server.read_all("t") == before


# Drain

def test_a_drain_returns_long_polls_and_ends_streams_with_their_cursor(data):
    with Millrace(data) as server:
        server.create("t")
        server.append("t", [1, 2])
        path = "/v1/topics/t/records"
        with ThreadPoolExecutor() as pool:
            poll = pool.submit(server.page, "t", "?cursor=0:2&waitMs=60000")
            stream = server.stream(path, "application/x-ndjson")
            lines = stream.iter_lines()
            seen = [contract.check_line("GET", path, next(lines)) for _ in range(2)]
            time.sleep(0.2)
            started = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            page = poll.result(timeout=10)
            seen += [contract.check_line("GET", path, line) for line in lines]
            assert time.monotonic() - started < 5
        assert page["records"] == [] and page["cursor"].startswith("0:2")
        assert [v["value"] for v in seen[:2]] == [1, 2]
        assert seen[-1]["cursor"].startswith("0:2"), "the stream ended regularly, its cursor last"
        assert server.process.wait(15) == 0


def test_a_drain_finishes_what_is_on_its_way(data):
    with Millrace(data) as server:
        server.create("t")
        body = b'{"records":[{"value":1}]}'
        head = (
            f"POST /v1/topics/t/records HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n"
            "Content-Type: application/json\r\n\r\n"
        )
        with socket.create_connection((server.host, server.port), 10) as connection:
            connection.sendall(head.encode() + body[:5])
            time.sleep(0.2)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
            connection.sendall(body[5:])
            answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        assert server.process.wait(15) == 0
    with Millrace(data) as server:
        assert len(server.page("t")["records"]) == 1


def test_while_draining_it_is_not_ready(data):
    with Millrace(data, "--drain-timeout-ms", 10000) as server:
        server.create("t")
        with socket.create_connection((server.host, server.port), 10) as open_request, \
                socket.create_connection((server.host, server.port), 10) as probe:
            # A request under way holds the drain open; a connection made before it asks.
            open_request.sendall(
                b"POST /v1/topics/t/records HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx")
            probe.sendall(b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n")
            assert probe.recv(4096).startswith(b"HTTP/1.1 200 ")
            probe.sendall(b"GET /readyz HTTP/1.1\r\n")
            time.sleep(0.1)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            probe.sendall(b"Host: a\r\n\r\n")
            answer = probe.recv(4096)
        assert answer.startswith(b"HTTP/1.1 503 ") and b"not-ready" in answer, answer


def test_a_drain_is_bounded_in_time(data):
    with Millrace(data, "--drain-timeout-ms", 300) as server:
        server.create("t")
        with socket.create_connection((server.host, server.port), 10) as stuck:
            stuck.sendall(b"POST /v1/topics/t/records HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx")
            time.sleep(0.2)
            started = time.monotonic()
            assert server.terminate(wait=10) == 0
            assert time.monotonic() - started < 4


def test_a_second_sigterm_ends_it_at_once(data):
    with Millrace(data, "--drain-timeout-ms", 60000) as server:
        server.create("t")
        with socket.create_connection((server.host, server.port), 10) as stuck:
            stuck.sendall(b"POST /v1/topics/t/records HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx")
            time.sleep(0.2)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            assert server.process.poll() is None
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(5) != 0


@pytest.mark.parametrize("closed", ["2>&-", "1>&-", "0<&- 1>&- 2>&-"])
def test_what_is_closed_of_its_first_three_descriptors_becomes_dev_null(data, closed):
    """The log must not go into the file or socket that is opened next."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{probe.getsockname()[1]}"
    wrapper = ("bash", "-c", f'exec "$0" "$@" {closed}')
    with Millrace(data, "--access-log", "stderr", listen=listen, wrapper=wrapper, wait=0) as server:
        server.base = "http://" + listen

        def is_ready():
            assert server.process.poll() is None, "it ended"
            try:
                return server.get("/readyz").status == 200
            except requests.ConnectionError:
                return False

        until(is_ready, 30)
        server.create("t")
        server.append("t", [1, 2, 3])
        first = {number: os.readlink(f"/proc/{server.process.pid}/fd/{number}") for number in "012"}
        assert {first[part[0]] for part in closed.split()} == {"/dev/null"}, first
        assert [r["value"] for r in server.read_all("t")] == [1, 2, 3]
        assert server.terminate() == 0
    for file in filter(Path.is_file, data.rglob("*")):
        assert b"/v1/topics" not in file.read_bytes() and b"listening" not in file.read_bytes(), file


def test_a_server_that_was_paused_goes_on(data):
    with Millrace(data) as server:
        server.create("t")
        with ThreadPoolExecutor() as pool:
            poll = pool.submit(server.page, "t", "?waitMs=20000")
            time.sleep(0.2)
            server.process.send_signal(signal.SIGSTOP)
            time.sleep(1)
            server.process.send_signal(signal.SIGCONT)
            server.append("t", ["awake"])
            assert poll.result(10)["records"][0]["value"] == "awake"


def test_clients_that_break_off_leave_no_descriptor_behind(data):
    """Pitfall 52: descriptors leak on disconnect with unread data. `aborts.py` does 100,000."""
    with Millrace(data) as server:
        left, growth, _ = aborts.judge(server, 10_000)
        assert left <= 0 and growth < 30_000


@pytest.mark.parametrize("flags", [[], ["--access-log", "stderr"]])
def test_a_log_that_nobody_reads_holds_up_neither_requests_nor_the_end(data, flags):
    """As a container's whose collector has died: its standard error is a pipe, and full."""
    unread, full = os.pipe()
    command = [BINARY, "serve", "--data", str(data), "--listen", "127.0.0.1:0", *flags]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=full, text=True) as process:
        try:
            base = process.stdout.readline().split()[-1]
            os.set_blocking(full, False)
            with pytest.raises(BlockingIOError):
                while True:
                    os.write(full, b"x" * 4096)
            os.set_blocking(full, True)
            for number in range(20):
                name = "t" * 100 + str(number)
                assert requests.put(f"{base}/v1/topics/{name}", json={}, timeout=5).status_code == 201
            assert requests.get(f"{base}/livez", timeout=5).status_code == 200
            process.terminate()
            assert process.wait(15) == 0
        finally:
            process.kill()
            os.close(unread)
            os.close(full)


def test_an_event_loop_for_each_core_the_process_may_run_on(data):
    """As a container's cpuset leaves it some: not for each of the machine's."""
    def loops(server):
        names = Path(f"/proc/{server.process.pid}/task").glob("*/comm")
        return sum(name.read_text().startswith("loop-") for name in names)

    cores = sorted(os.sched_getaffinity(0))
    with Millrace(data) as server:
        assert loops(server) == len(cores)
    with Millrace(data, wrapper=("taskset", "-c", str(cores[-1]))) as server:
        assert loops(server) == 1
        assert server.get("/livez").status == 200


def test_hostile_requests_do_not_end_the_server(data):
    """Pitfall 51, and RELIABILITY.md's first rule."""
    with Millrace(data) as server:
        server.create("t", partitions=2)
        huge = "9" * 400
        for path in (
            f"/v1/topics/t/partitions/{huge}/records", f"/v1/topics/t/records?maxRecords={huge}",
            f"/v1/topics/t/records?cursor=0:{huge}", "/v1/topics/t/records?cursor=" + "0:1," * 2000,
            f"/v1/topics/t/records?from={huge}", "/v1/topics/t/records?from=tail:9223372036854775807",
            "/v1/topics/t/partitions/0/records?offset=9223372036854775807",
            "/v1/topics/t/records?cursor=2147483647:9223372036854775807",
            "/v1/topics/t/records?from=9223372036854775807", "/v1/groups/" + "%00" * 10,
        ):
            assert server.get(path).status < 500, path
        for value in ("9223372036854775807", "-9223372036854775808", "1e999", huge, "0.1e-5"):
            for field in ("timestamp", "partition", "offset"):
                body = '{"records":[{"value":1,"%s":%s}]}' % (field, value)
                answer = server.post(
                    "/v1/topics/t/records", data=body, headers={"Content-Type": "application/json"})
                assert answer.status < 500, (body, answer)
            offsets = '{"offsets":[{"topic":"t","partition":0,"offset":%s}]}' % value
            assert server.post("/v1/groups/g/offsets", data=offsets).status < 500
        assert server.get("/livez").status == 200
        server.page("t", "?from=earliest")
