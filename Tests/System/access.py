"""Callers of the access tests: an access file made by `millrace token`, as an operator would."""

import json
import os

from millrace import run

LINES = [
    {"principal": "reader", "allow": ["topic:own*=read"]},
    {"principal": "writer", "allow": ["topic:own*=write"]},
    {"principal": "member", "allow": ["group:own*=join,commit", "topic:own*=read"]},
    {"principal": "admin", "allow": ["topic:*=all", "group:*=all", "server=metrics"]},
    {"principal": "most", "allow": ["topic:*=read,write", "group:*=all"],
     "deny": ["topic:K-*=all"]},
    {"principal": "denied", "allow": ["topic:*=all", "group:*=all"],
     "deny": ["topic:*=all", "group:*=all"]},
]


def token(path, principal, *flags):
    """Makes a token; its text."""
    made = run("token", "create", principal, "--access-file", path, *flags)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def write(path, lines):
    """An access file of these lines, with mode 0600."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write("".join(json.dumps(line) + "\n" for line in lines))


def bearer(text):
    return {"Authorization": f"Bearer {text}"}
