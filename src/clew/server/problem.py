"""
Errors -> HTTP answers: a status, and a body that says what to do.

The OTLP routes answer `google.rpc.Status` as protobuf, because their clients read that;
all others `{"error": {"type": …, "message": …}}`.
"""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from clew.errors import (
    BadFilter,
    BadTemplate,
    ClewError,
    ConfigError,
    MalformedBody,
    MalformedId,
    StoreBusy,
    StoreUnavailable,
    TooLarge,
    UnknownNode,
    UnsupportedMedia,
)

RETRY_AFTER_S = 1
"""Short: OpenTelemetry's exporters give up on a batch when they would have to wait past 10 s."""


class Unauthenticated(ClewError):
    """No key where one is needed, or a wrong one. HTTP 401."""


class Forbidden(ClewError):
    """The key is right, but not for this. HTTP 403."""


class NotFound(ClewError):
    """There is no such thing. HTTP 404."""


class MethodNotAllowed(ClewError):
    """The path exists, the method does not. HTTP 405."""


class TooSlow(ClewError):
    """The body did not arrive in time; nothing was stored. HTTP 408."""


class WrongHost(ClewError):
    """The Host header names somebody else, as it does after DNS rebinding. HTTP 421."""


class ClientGone(ClewError):
    """The client hung up before its body was whole; nobody reads this answer. HTTP 499."""


STATUS: dict[type[ClewError], int] = {
    BadFilter: 400,
    BadTemplate: 400,
    ConfigError: 500,
    MalformedBody: 400,
    MalformedId: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    UnknownNode: 404,
    MethodNotAllowed: 405,
    TooSlow: 408,
    TooLarge: 413,
    UnsupportedMedia: 415,
    WrongHost: 421,
    ClientGone: 499,
    StoreBusy: 503,
    StoreUnavailable: 503,
}

RPC_CODE = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 408: 4, 413: 8, 415: 3, 421: 3, 499: 1, 503: 14}
"""HTTP status -> google.rpc.Code; what is not here is INTERNAL."""
RPC_INTERNAL = 13


def status_of(error: BaseException) -> int:
    """Give the HTTP status of *error*; 500 for what nobody foresaw."""
    return next((STATUS[known] for known in type(error).__mro__ if known in STATUS), 500)


def answer(error: BaseException, *, protobuf: bool = False) -> Response:
    """Say *error* over HTTP. What nobody foresaw is not described: it could hold anything."""
    status = status_of(error)
    kind = type(error).__name__ if isinstance(error, ClewError) else "Internal"
    message = str(error) if isinstance(error, ClewError) else "the server failed; its log says why"
    if protobuf:
        body, media = rpc_status(RPC_CODE.get(status, RPC_INTERNAL), message), "application/x-protobuf"
    else:
        said = {"type": kind, "message": _plain(message), **_facts(error)}
        body, media = msgspec.json.encode({"error": said}), "application/json"
    return Response(body, status, headers=_headers(status), media_type=media)


def rpc_status(code: int, message: str) -> bytes:
    """
    Encode `google.rpc.Status{code, message}`.

    By hand, since it is two fields and its Python package is not otherwise needed.

    Source: googleapis, google/rpc/status.proto; protobuf's encoding guide.
    """
    text = message.encode("utf-8", "replace")
    return b"\x08" + _varint(code) + b"\x12" + _varint(len(text)) + text


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _facts(error: BaseException) -> dict[str, object]:
    """What a program needs of an error beside its message."""
    if isinstance(error, UnknownNode):
        near = [_plain(each) for each in error.near]
        return {"asked": _plain(error.asked[:200]), "near": near, "ambiguous": error.ambiguous}
    return {}


def _plain(message: str) -> str:
    return message.encode("utf-8", "replace").decode()


def _headers(status: int) -> dict[str, str]:
    headers = {"cache-control": "no-store"}
    if status == 401:
        headers["www-authenticate"] = 'Bearer realm="clew"'
    if status == 503:
        headers["retry-after"] = str(RETRY_AFTER_S)
    if status == 408:
        # The rest of the body may yet come, and would be read as the next request.
        headers["connection"] = "close"
    return headers
