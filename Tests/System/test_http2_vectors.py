"""The HTTP/2 frames and HPACK stories of ../shared/testdata, through the running program."""

import json
from pathlib import Path

import pytest

from http2 import *

SHARED = Path(__file__).resolve().parents[3] / "shared" / "testdata"
FRAMES = sorted((SHARED / "http2-frame-test-case").glob("*/*.json"))
STORIES = sorted((SHARED / "hpack-test-case").glob("*/*.json"))
needs = lambda files: pytest.mark.skipif(not files, reason="shared/testdata is absent")


@needs(FRAMES)
@pytest.mark.parametrize("file", FRAMES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_frame(server, file):
    """Those under `error` end the connection with a listed code, the others never without a word."""
    vector = json.loads(file.read_text())
    with Connection(server) as c:
        c.send(bytes.fromhex(vector["wire"]))
        if vector["error"]:
            # Where the frame is for a stream that was never opened, that is the first thing wrong;
            # and one that announces more than it brings is waited for. Fewer than a flood of PINGs.
            c.send(frame(PING, 0, 0, b"12345678") * 50)
            c.connection_error(*vector["error"], PROTOCOL_ERROR, FRAME_SIZE_ERROR)
        else:
            c.closed_or_alive()
    assert server.get("/livez").status == 200


@needs(STORIES)
@pytest.mark.parametrize("file", STORIES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_an_HPACK_story(server, file):
    """Each block of the story is a request, over one table; a block misread would end the connection."""
    cases = json.loads(file.read_text())["cases"]
    with Connection(server) as c:
        for index, case in enumerate(cases):
            stream = 2 * index + 1
            c.frame(HEADERS, END_HEADERS | END_STREAM, stream, bytes.fromhex(case["wire"]))
            c.until(lambda: stream in c.ended or stream in c.resets)
        assert len(c.ended | set(c.resets)) == len(cases) and c.goaway is None
