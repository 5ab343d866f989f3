"""schemathesis asks the real program what openapi.yaml allows and what it does not: never a 5xx,
never an answer that the file does not document. Bounded, so that it ends within a minute."""

import os
import subprocess
import sys
from pathlib import Path

import access
from millrace import Millrace

DOCUMENT = Path(__file__).resolve().parents[2] / "openapi" / "openapi.yaml"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance," \
    "response_schema_conformance,response_headers_conformance"


# RFC 9110 §9.1: a method nobody knows (QUERY) is 501, and so is what the file says is work to come.
CONFIGURATION = """
[checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 501]
"""


def schemathesis(server, directory, *flags):
    """Runs it in a process of its own; its report."""
    configuration = directory / "schemathesis.toml"
    configuration.write_text(CONFIGURATION)
    return subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "--config-file", str(configuration), "run",
         str(DOCUMENT), "--url", server.base,
         "--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--max-examples", "15",
         "--seed", "7", "--generation-database", "none", "--request-timeout", "10",
         "--suppress-health-check", "all", "--max-time", "20", "--no-color", *flags],
        capture_output=True, text=True, timeout=300, cwd=directory,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )


def judge(report):
    assert report.returncode == 0, report.stdout[-12000:] + report.stderr[-2000:]


def test_no_answer_is_undocumented(tmp_path):
    with Millrace(tmp_path / "log", "--max-wait-ms", "200") as server:
        server.create("t", partitions=2)
        judge(schemathesis(server, tmp_path, "--header", "Accept:application/json"))
        assert server.get("/livez").status == 200


def test_no_answer_is_undocumented_with_authentication(tmp_path):
    path = tmp_path / "access.json"
    token = access.token(path, "web", "--allow", "topic:*=all", "--allow", "group:*=all")
    with Millrace(tmp_path / "log", "--access-file", path, "--max-wait-ms", "200") as server:
        judge(schemathesis(
            server, tmp_path, "--header", "Accept:application/json",
            "--header", f"Authorization:Bearer {token}"))
        assert token not in server.log()
