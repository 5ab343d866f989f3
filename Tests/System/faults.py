"""Faults of the disk, put by strace into the calls of a server that runs."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest

from millrace import until


def is_traced(pid):
    """Whether a tracer has each thread of the process."""
    states = [(task / "status").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return all("TracerPid:\t0\n" not in state for state in states)


@contextlib.contextmanager
def injecting(server, calls, fault, trace, *paths):
    """Within the block the server's calls end as the fault says, those on `paths` alone if given.
    Yields how to ask whether one has."""
    command = ["strace", "-f", "-qq", "-p", str(server.process.pid), "-o", str(trace)]
    for path in paths:
        command += ["-P", str(path)]
    tracer = subprocess.Popen([*command, "-e", f"trace={calls}", "-e", f"inject={calls}:{fault}"])
    try:
        until(lambda: tracer.poll() is not None or is_traced(server.process.pid), 30)
        if tracer.poll() is not None:
            pytest.skip("no right to trace a running process here")
        yield lambda: trace.exists() and "INJECTED" in trace.read_text()
    finally:
        tracer.terminate()
        tracer.wait(30)


def stop_traced(server, number=signal.SIGKILL):
    """Ends the program that strace has started; strace follows it."""
    children = f"/proc/{server.process.pid}/task/{server.process.pid}/children"
    for pid in open(children).read().split():
        os.kill(int(pid), number)
    server.process.wait(30)


def processor_seconds(server):
    """What the server has used of the processors, in its own code and in the kernel's."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
