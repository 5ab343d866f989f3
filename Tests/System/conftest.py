"""Fixtures: a server that a file's tests share, topics with names of their own."""

import itertools
import shutil
import subprocess

import pytest

from millrace import Millrace

_numbers = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server with its own directory, shared by the tests of one file; it must outlive them all."""
    with Millrace(tmp_path_factory.mktemp("data") / "log") as running:
        yield running
        assert running.process.poll() is None, f"the server ended: {running.log()[-4000:]}"


@pytest.fixture
def topic(server):
    """A new topic of one partition."""
    name = f"topic-{next(_numbers)}"
    server.create(name)
    return name


@pytest.fixture
def wide(server):
    """A new topic of four partitions."""
    name = f"wide-{next(_numbers)}"
    server.create(name, partitions=4)
    return name


@pytest.fixture
def data(tmp_path):
    """A directory for a test that starts servers itself."""
    return tmp_path / "log"


@pytest.fixture
def strace():
    """Whether strace can trace a child here."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    probe = ["strace", "-f", "-e", "trace=fdatasync", "-o", "/dev/null", "true"]
    if subprocess.run(probe, capture_output=True).returncode != 0:
        pytest.skip("no right to trace a process here")
