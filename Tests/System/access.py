"""Callers of the access tests: an access file made by `millrace token`, as an operator would."""

import base64
import hashlib
import hmac
import json
import os
import time

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


def _base64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


KEY = b"a key of an identity provider, 32"
JWT = {"keys": "jwks.json", "issuer": "provider", "audience": "millrace", "rulesClaim": "rules"}


def write_with_web_tokens(path, lines):
    """An access file that takes tokens of `web_token` as well, and the key set beside it."""
    key = {"kty": "oct", "kid": "1", "alg": "HS256", "k": _base64(KEY)}
    write(path.parent / JWT["keys"], [{"keys": [key]}])
    write(path, [*lines, {"jwt": JWT}])


def web_token(principal, **claims):
    """A JSON Web Token; each that has another `jti` is another one."""
    head = {"alg": "HS256", "kid": "1"}
    claims = {"iss": "provider", "aud": "millrace", "sub": principal, "exp": int(time.time()) + 600, **claims}
    signed = ".".join(_base64(json.dumps(part).encode()) for part in (head, claims))
    return f"{signed}.{_base64(hmac.digest(KEY, signed.encode(), hashlib.sha256))}"
