"""deploy/run, as a person runs it: from any directory, with the arguments of `serve`."""

import os
import signal
import subprocess
import urllib.request
from pathlib import Path

from millrace import LISTENING

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "run"


def test_it_builds_and_becomes_the_server(tmp_path):
    command = [SCRIPT, "--listen", "127.0.0.1:0"]
    log = open(tmp_path / "stderr", "wb")
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MILLRACE_")}
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=log, env=clean, text=True
    ) as process:
        try:
            # Nothing but what millrace prints: the build talks to standard error.
            lines = [process.stdout.readline()]
            while lines[-1] and not (match := LISTENING.search(lines[-1])):
                lines.append(process.stdout.readline())
            assert match, (tmp_path / "stderr").read_text()[-4000:]
            assert all(line.startswith("millrace: ") for line in lines)
            assert Path(f"/proc/{process.pid}/comm").read_text().strip() == "millrace"
            assert urllib.request.urlopen(match[1] + "/readyz", timeout=10).status == 200
            assert (tmp_path / "millrace-data" / "node.json").exists(), "beside where it was called"
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()


def test_a_usage_error_passes_through(tmp_path):
    ended = subprocess.run([SCRIPT, "--nonsense"], cwd=tmp_path, capture_output=True, timeout=600)
    assert ended.returncode == 2 and not ended.stdout
