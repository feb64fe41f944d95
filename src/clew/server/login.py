"""Log in and out on the page: a key against a cookie that scripts cannot read."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from clew.errors import MalformedBody
from clew.server.auth import COOKIE, SESSION_S, Caller, Policy, admit, hash_key, refuse_other_sites
from clew.server.body import HeldBody, media_type
from clew.server.problem import Unauthenticated
from clew.server.runtime import Runtime

MAX_BODY_BYTES = 4_096


class Login(msgspec.Struct):
    """What the page posts."""

    key: str


async def login(request: Request, _: Caller) -> Response:
    """Take a key, give a cookie."""
    refuse_other_sites(request, needs_origin=False)
    media_type(request, ("application/json",))
    runtime: Runtime = request.app.state.runtime
    async with HeldBody(request, runtime.budget, limit_bytes=MAX_BODY_BYTES) as body:
        key_hash = hash_key(_key_in(body))
    record = await runtime.read(runtime.gate.look_up, key_hash)
    if record is None:
        raise Unauthenticated("this key is wrong, or was revoked; `clew keys create` makes a new one")
    admit(Caller(record.scope, record.project), Policy.READ)
    response = Response(status_code=204, headers={"cache-control": "no-store"})
    response.set_cookie(
        COOKIE,
        runtime.gate.sessions.sign(key_hash),
        max_age=SESSION_S,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


async def logout(request: Request, _: Caller) -> Response:
    """Take the cookie back."""
    refuse_other_sites(request, needs_origin=False)
    response = Response(status_code=204, headers={"cache-control": "no-store"})
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response


def _key_in(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=Login).key
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        raise MalformedBody('send {"key": "…"}') from None
