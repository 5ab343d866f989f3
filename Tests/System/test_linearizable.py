"""RELIABILITY.md R9: histories of clients that append and read at the same time are linearizable.

A partition is a value: an append takes the offset at its end, a read sees what stands below its high
watermark. Each call happened at one moment between its request and its answer, and the log's offsets say
in which order; a history is linearizable where that order and real time agree. A call whose answer was
lost may have happened at any time after it began, once, or not at all.
"""

import contextlib
import dataclasses
import http.client
import json
import random
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from millrace import Millrace, until

CLIENTS = 6
CALLS = 20


@dataclasses.dataclass
class Call:
    """`end` is None where no answer came. `seen`: the log is known to reach so far; `is_end`: no farther."""

    start: float
    end: float | None = None
    value: str | None = None
    offset: int | None = None
    is_refused: bool = False
    first: int = 0
    values: list = dataclasses.field(default_factory=list)
    seen: int = 0
    is_end: bool = False


def faults(calls, log):
    """What in the history of a partition that now holds `log` cannot have been."""
    found = []
    appends = [call for call in calls if call.value is not None]
    tried = {call.value: call for call in appends}
    places = {value: offset for offset, value in enumerate(log)}
    if len(places) < len(log):
        found.append("a record stands twice")
    for value in log:
        if value not in tried:
            found.append(f"nobody appended {value}")
        elif tried[value].is_refused:
            found.append(f"{value} was refused and is there")
    for call in appends:
        if call.offset is not None and places.get(call.value) != call.offset:
            found.append(f"{call.value} is not at {call.offset}")
    for call in calls:
        if log[call.first:call.first + len(call.values)] != call.values:
            found.append(f"other records were read from {call.first} on")
    # In the order of real time: nothing may stand, or end, before what was known when it began.
    answered = sorted((call for call in calls if call.end is not None), key=lambda call: call.end)
    known, next_answered = 0, 0
    for call in sorted(calls, key=lambda call: call.start):
        while next_answered < len(answered) and answered[next_answered].end < call.start:
            known = max(known, answered[next_answered].seen)
            next_answered += 1
        if call.value in places and places[call.value] < known:
            found.append(f"{call.value} went before what was known: {places[call.value]} < {known}")
        if call.is_end and call.seen < known:
            found.append(f"a read ended at {call.seen} when {known} was known")
    return found


def client(server, topic, dice, calls):
    """Appends and reads by chance."""
    known = 0
    for _ in range(CALLS):
        kind = dice.choice(["append", "keyed", "conditional", "page", "tail"])
        call = Call(start=time.monotonic())
        if kind == "page":
            call.first = dice.randint(0, known)
            read(server, topic, call, f"?offset={call.first}&maxRecords={dice.randint(1, 50)}")
        elif kind == "tail":
            read(server, topic, call, "?from=tail:2")
        else:
            append(server, topic, call, kind, known, dice)
        known = max(known, call.seen)
        calls.append(call)  # atomic


def append(server, topic, call, kind, known, dice):
    call.value = str(uuid.UUID(int=dice.getrandbits(128)))
    headers = {"Content-Type": "application/json"}
    if kind == "keyed":
        headers["Idempotency-Key"] = call.value
    if kind == "conditional":
        headers["If-End-Offset"] = str(known)
    body = json.dumps({"records": [{"value": call.value}]})
    asks_again = kind == "keyed" and dice.random() < 0.5
    for _ in range(100):
        status, answer = send(server, "POST", f"/v1/topics/{topic}/records?partition=0", body, headers)
        if status == 200:
            offset = answer["offsets"][0]["offset"]
            assert call.offset in (None, offset), "another try, another offset"
            call.offset, call.seen, call.end = offset, offset + 1, call.end or time.monotonic()
            if not asks_again:
                return
            asks_again = False
        elif status == 412:
            call.is_refused, call.end = True, time.monotonic()
            return
        else:
            assert status is None, answer
            if kind != "keyed":
                return  # Only a key makes it safe to try again.
    raise AssertionError("the server does not come back")


def read(server, topic, call, query):
    status, page = send(server, "GET", f"/v1/topics/{topic}/partitions/0/records{query}")
    if status is None:
        return
    assert status == 200, page
    call.values = [record["value"] for record in page["records"]]
    if page["records"]:
        call.first = page["records"][0]["offset"]
    call.seen = int(page["cursor"].split("~")[0].split(":")[1])
    call.is_end, call.end = page["caughtUp"], time.monotonic()


def send(server, method, path, body=None, headers={}):
    """Status and answer; None where the server was killed, or has not come back yet."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=20)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        document = json.loads(answer.read())
        if answer.status != 503:
            return answer.status, document
        assert document["code"] == "not-ready", document
    except (OSError, http.client.HTTPException):
        pass
    finally:
        connection.close()
    time.sleep(0.1)
    return None, None


def history(server, topic, seed, meanwhile=lambda calls: None):
    """All calls of some clients at a new partition."""
    calls = []
    with ThreadPoolExecutor(CLIENTS) as pool:
        runs = [pool.submit(client, server, topic, random.Random(f"{seed}-{n}"), calls) for n in range(CLIENTS)]
        meanwhile(calls)
        for run in runs:
            run.result()
    return calls


def judge(server, topic, calls):
    log = [record["value"] for record in server.read_all(topic)]
    assert faults(calls, log) == []
    assert len(log) > CLIENTS and any(call.is_end and call.values for call in calls)


def test_90_histories_are_linearizable(server):
    for seed in range(90):
        server.create(f"t{seed}")
        judge(server, f"t{seed}", history(server, f"t{seed}", seed))


def test_10_histories_over_a_kill_are_linearizable(data):
    """What was on its way may be there once or not at all; with a key it is there once."""
    with Millrace(data) as server:
        for seed in range(10):
            server.create(f"t{seed}")
    unanswered = 0
    for seed in range(10):
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(Millrace(data))

            def kill(calls):
                until(lambda: len(calls) > CLIENTS * CALLS // 4)
                first.kill()
                stack.enter_context(Millrace(data, listen=f"{first.host}:{first.port}"))

            calls = history(first, f"t{seed}", seed, kill)
            judge(first, f"t{seed}", calls)
            unanswered += sum(call.end is None for call in calls)
    assert unanswered > 0


LOG = ["a", "b", "c"]
GOOD = [
    Call(0, 2, "a", 0, seen=1), Call(1, 3, "b", 1, seen=2), Call(4, None, "c"), Call(4, None, "lost"),
    Call(4, 5, "no", is_refused=True), Call(5, 6, values=["a", "b"], seen=2, is_end=True),
    Call(6, 8, first=1, values=["b", "c"], seen=3, is_end=True),
]


def test_a_good_history_has_no_fault():
    assert faults(GOOD, LOG) == []


@pytest.mark.parametrize("fault,log,call", [
    ("twice", [*LOG, "c"], None),
    ("nobody", [*LOG, "x"], None),
    ("was refused", [*LOG, "no"], None),
    ("not at", LOG, Call(0, 1, "a", 2)),
    ("not at", LOG[:2], Call(4, 5, "c", 2, seen=3)),
    ("other records", LOG, Call(7, 8, values=["b"], seen=1)),
    ("went before", LOG, Call(9, 9.5, "b", 1, seen=2)),
    ("ended at", LOG, Call(9, 9.5, values=["a", "b"], seen=2, is_end=True)),
])
def test_a_fault_is_found(fault, log, call):
    calls = [*GOOD, call] if call else GOOD
    assert any(fault in found for found in faults(calls, log))
