"""A member of a consumer group, as the tests of groups play it over HTTP."""

import threading

import requests

import contract
from millrace import Answer


def call(server, method, path, **options):
    """A request of its own connection, so that threads may wait side by side."""
    options.setdefault("timeout", 60)
    answer = Answer(requests.request(method, server.base + path, **options))
    contract.check(method, path, answer.status, answer.headers, answer.body)
    return answer


def join(server, group, *topics, **fields):
    return call(server, "POST", f"/v1/groups/{group}/members", json={"topics": topics, **fields})


def places(assignment):
    """An assignment as a set of (topic, partition)."""
    return {(a["topic"], p) for a in assignment for p in a["partitions"]}


def describe(server, group):
    """The group's description, and its members by their ID; None where there is no group."""
    answer = call(server, "GET", f"/v1/groups/{group}")
    if answer.status == 404:
        assert answer.code == "unknown-group", answer
        return None
    assert answer.status == 200, answer
    return {**answer.json, "members": {m["memberId"]: m for m in answer.json["members"]}}


def members(server, group):
    return set((describe(server, group) or {"members": {}})["members"])


def offsets(server, group):
    """What the group has committed: {(topic, partition): the whole entry}."""
    answer = call(server, "GET", f"/v1/groups/{group}/offsets")
    if answer.status == 404:
        return {}
    assert answer.status == 200, answer
    return {(o["topic"], o["partition"]): o for o in answer.json["offsets"]}


def committed(server, group):
    return {place: o["offset"] for place, o in offsets(server, group).items()}


class Member:
    """Joins at once. `poll` sends what it is told; `take` is the loop's step that must succeed."""

    def __init__(self, server, group, *topics, **fields):
        self.server, self.group = server, group
        answer = join(server, group, *topics, **fields)
        assert answer.status == 201, answer
        self.joined = answer.json
        self.id, self.epoch = answer.json["memberId"], answer.json["memberEpoch"]
        self.assignment = places(answer.json["assignment"])
        self.path = f"/v1/groups/{group}/members/{self.id}"

    def poll(self, **fields):
        return call(
            self.server, "POST", self.path + "/poll", json={"memberEpoch": self.epoch, **fields})

    def take(self, **fields):
        answer = self.poll(**fields)
        assert answer.status == 200, answer
        self.epoch = answer.json["memberEpoch"]
        self.assignment = places(answer.json["assignment"])
        return answer.json

    def heartbeat(self, epoch=None):
        body = {"memberEpoch": self.epoch if epoch is None else epoch}
        return call(self.server, "POST", self.path + "/heartbeat", json=body)

    def commit(self, *triples, epoch=None, **more):
        entries = [{"topic": t, "partition": p, "offset": o} for t, p, o in triples]
        body = {"memberId": self.id, "memberEpoch": self.epoch if epoch is None else epoch}
        if entries:
            body["offsets"] = entries
        path = f"/v1/groups/{self.group}/offsets"
        return call(self.server, "POST", path, json={**body, **more})

    def leave(self):
        return call(self.server, "DELETE", self.path)

    def waiting(self, **fields):
        return Waiting(lambda: self.poll(**fields))

    def stream(self, accept="application/x-ndjson", cursor=None, **headers):
        query = f"?memberEpoch={self.epoch}" + (f"&cursor={cursor}" if cursor else "")
        return self.server.stream(self.path + "/records" + query, accept, **headers)


def settle(*loops):
    """Each polls in turn until none gets another epoch."""
    while True:
        before = [m.epoch for m in loops]
        for member in loops:
            member.take()
        if before == [m.epoch for m in loops]:
            return


class Waiting(threading.Thread):
    """A request under way in a thread of its own; `end` is its answer."""

    def __init__(self, request):
        super().__init__(daemon=True)
        self.request, self.answer, self.error = request, None, None
        self.start()

    def run(self):
        try:
            self.answer = self.request()
        except Exception as error:
            self.error = error

    def end(self, seconds=20):
        self.join(seconds)
        assert not self.is_alive(), "still waiting"
        if self.error:
            raise self.error
        return self.answer
