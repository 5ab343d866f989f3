"""Slow clients of each kind beside honest ones; `slow_clients.py` does it with 10,000 and prints figures."""

import pytest

import slow_clients
from millrace import Millrace


@pytest.mark.parametrize("kind", slow_clients.KINDS)
def test_five_hundred_slow_clients_fail_no_honest_request(data, kind):
    """C6, without its times, which a shared machine cannot hold."""
    with Millrace(data) as server:
        slow_clients.prepare(server)
        result = slow_clients.measure(server, kind, 500, 14 if kind == "header" else 8)
    assert result.failed == 0 and result.connected == 500
    assert result.bytes_each < (10 << 10) + (2 << 20) // 500, result
    if kind == "header":
        assert result.cut == 500 and result.last_cut < 13, "all are cut at the header's deadline"
    if kind == "body":
        assert result.cut == 500, "and bodies at the least rate"
    if kind == "idle":
        assert result.cut == 0
