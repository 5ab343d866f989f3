"""Starts the real program on a free port and talks to it; every answer is checked by `contract`."""

import json
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path
from queue import Empty, Queue

import requests

import contract

BINARY = os.environ.get(
    "MILLRACE_BINARY", str(Path(__file__).resolve().parents[2] / ".build/release/millrace")
)
LISTENING = re.compile(r"millrace: listening on (http://(\S+):(\d+))\s*$")


class Answer:
    """A complete answer."""

    def __init__(self, response):
        self.status = response.status_code
        self.headers = response.headers
        self.body = response.content

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """The problem's code; None for a success."""
        return self.json["code"] if self.status >= 400 else None

    def __repr__(self):
        return f"<{self.status} {self.body[:400]!r}>"


class Millrace:
    """One process of `millrace serve`. Use as a context manager: it is killed at the end."""

    def __init__(self, data, *flags, listen="127.0.0.1:0", wrapper=(), env=None, wait=30):
        self.data = Path(data)
        self.log_path = self.data.parent / f"{self.data.name}.stderr"
        self.command = [
            *wrapper, BINARY, "serve", "--data", str(data), "--listen", listen, *map(str, flags)
        ]
        clean = {k: v for k, v in os.environ.items() if not k.startswith("MILLRACE_")}
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                env={**clean, **(env or {})}, text=True,
            )
        self.lines = Queue()
        threading.Thread(target=self._read_lines, daemon=True).start()
        self.session = requests.Session()
        self.session.trust_env = False
        self.base = self.host = self.port = None
        started = time.monotonic()
        if wait:
            self._wait_until_listening(wait)
        self.start_seconds = time.monotonic() - started

    def _read_lines(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def _wait_until_listening(self, seconds):
        deadline = time.monotonic() + seconds
        while True:
            try:
                line = self.lines.get(timeout=max(0.01, deadline - time.monotonic()))
            except Empty:
                line = None
            if line is None:
                self.process.kill()
                raise AssertionError(f"did not start in {seconds} s:\n{self.log()[-4000:]}")
            if match := LISTENING.search(line):
                self.base, self.host, self.port = match[1], match[2], int(match[3])
                return

    def log(self):
        return self.log_path.read_text(errors="replace")

    # Requests

    def request(self, method, path, *, check=True, **options):
        options.setdefault("timeout", 60)
        answer = Answer(self.session.request(method, self.base + path, **options))
        if check:
            contract.check(method, path, answer.status, answer.headers, answer.body)
        return answer

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, **options):
        return self.request("POST", path, **options)

    def put(self, path, **options):
        return self.request("PUT", path, **options)

    def patch(self, path, **options):
        return self.request("PATCH", path, **options)

    def delete(self, path, **options):
        return self.request("DELETE", path, **options)

    def create(self, topic, partitions=1, **configuration):
        answer = self.put(f"/v1/topics/{topic}", json={"partitions": partitions, **configuration})
        assert answer.status == 201, answer
        return answer.json

    def produce(self, topic, records, query="", **options):
        """Posts a batch; a value that is no dict with `value` in it becomes a record's value."""
        batch = [r if isinstance(r, dict) and "value" in r else {"value": r} for r in records]
        return self.post(f"/v1/topics/{topic}/records{query}", json={"records": batch}, **options)

    def append(self, topic, records, query=""):
        """Like `produce`, and expects success; the places of the records."""
        answer = self.produce(topic, records, query)
        assert answer.status == 200, answer
        return answer.json["offsets"]

    def page(self, topic, query="", partition=None):
        middle = "" if partition is None else f"/partitions/{partition}"
        answer = self.get(f"/v1/topics/{topic}{middle}/records{query}")
        assert answer.status == 200, answer
        return answer.json

    def read_all(self, topic, query="?from=earliest"):
        """Every record of the topic, page by page."""
        records, page = [], self.page(topic, query)
        while True:
            records += page["records"]
            if page["caughtUp"]:
                return records
            page = self.page(topic, "?cursor=" + page["cursor"])

    def stream(self, path, accept, timeout=60, **headers):
        """An open stream; the caller closes it."""
        response = requests.get(
            self.base + path, headers={"Accept": accept, **headers}, stream=True, timeout=timeout
        )
        body = response.content if response.status_code >= 400 else None
        contract.check("GET", path, response.status_code, response.headers, body)
        return response

    # Its end

    def terminate(self, wait=30):
        """SIGTERM and the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(wait)

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.process.wait(30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.session.close()
        if self.process.poll() is None:
            self.kill()
        self.process.stdout.close()


def run(*arguments, env=None, timeout=30):
    """Runs the program to its end."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MILLRACE_")}
    return subprocess.run(
        [BINARY, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=timeout, env={**clean, **(env or {})},
    )


def until(condition, seconds=10):
    """Waits until the condition holds; its value, or fails."""
    deadline = time.monotonic() + seconds
    while True:
        if value := condition():
            return value
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
