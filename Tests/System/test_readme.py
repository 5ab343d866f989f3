"""The README's tour, run as printed: each command gives the output that stands under it."""

import re
import subprocess
from pathlib import Path

from millrace import Millrace

README = Path(__file__).parents[2] / "README.md"


def tour():
    """Pairs of a command and the lines printed under it."""
    steps = []
    for block in re.findall(r"```console\n(.*?)\n```", README.read_text(), re.S):
        for line in block.split("\n"):
            if line.startswith("$ "):
                steps.append((line[2:], []))
            else:
                steps[-1][1].append(line)
    return steps


def masked(text):
    """What differs from run to run: times, lag in milliseconds, epochs, the topic's UUID in cursors."""
    text = re.sub(r'("timestamp"|"lagMs"|"committedAt"|"memberEpoch"):\d+', r"\1:T", text)
    text = re.sub(r"epoch is \d+", "epoch is E", text)
    return re.sub(r"~[0-9a-f]{8}", "~UUID", text)


def test_the_worker_is_the_one_that_is_shipped():
    """Its ten lines are printed as they are in deploy/worker."""
    printed = re.search(r"```sh\n(.*?)```", README.read_text(), re.S).group(1)
    assert (README.parent / "deploy/worker").read_text().endswith(printed)


def test_the_tour_is_true(data):
    steps = tour()
    assert len(steps) >= 10
    with Millrace(data) as server:
        for command, printed in steps:
            command = command.replace("127.0.0.1:8080", f"{server.host}:{server.port}")
            done = subprocess.run(
                ["bash", "-c", command], capture_output=True, text=True, timeout=30, cwd=README.parent)
            assert done.returncode == 0, command
            assert masked(done.stdout.strip()) == masked("\n".join(printed).strip()), command
