"""The routes that erase: by user, by session, by trace. For admins."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from clew.errors import BadFilter, StoreBusy
from clew.model.ids import trace_id_of
from clew.query.filters import one_of, only_known, optional, text_of
from clew.server.auth import Caller
from clew.server.runtime import Runtime
from clew.server.writes import json_answer
from clew.store.protocol import Whom

_SCRUB = {
    "project": "Of this project; of every one if not given.",
    "scrub": "`now` cleans the store's files before the answer, which writes wait for; `later` leaves it to retention.",
}
ERASE_PARAMS = {"user_id": "Every trace of this user.", "session_id": "Every trace of this session."} | _SCRUB
ERASE_ONE_PARAMS = _SCRUB


async def erase(request: Request, _: Caller) -> Response:
    """Erase every trace of a user or of a session."""
    given = only_known(request.query_params.multi_items(), ERASE_PARAMS)
    whom = Whom(
        user_id=optional(given, "user_id", text_of),
        session_id=optional(given, "session_id", text_of),
        project=optional(given, "project", text_of),
    )
    if (whom.user_id is None) == (whom.session_id is None):
        raise BadFilter("user_id", "name one user_id or one session_id; everything is never erased at once")
    return await _answer(request, whom, given)


async def erase_one(request: Request, _: Caller) -> Response:
    """Erase one trace."""
    given = only_known(request.query_params.multi_items(), ERASE_ONE_PARAMS)
    trace_id = trace_id_of(request.path_params["trace_id"])
    return await _answer(request, Whom(trace_id=trace_id, project=optional(given, "project", text_of)), given)


async def _answer(request: Request, whom: Whom, given: dict[str, str]) -> Response:
    now = one_of("scrub", given.get("scrub", "now"), ("now", "later")) == "now"
    runtime: Runtime = request.app.state.runtime
    return json_answer(await runtime.read(_erase, runtime, whom, now))


def _erase(runtime: Runtime, whom: Whom, now: bool) -> dict[str, Any]:
    erased = runtime.store.erase(whom)
    scrubbed = False
    if now:
        # If somebody reads, it is erased all the same, and the next round of retention cleans the files.
        with suppress(StoreBusy):
            runtime.store.scrub()
            scrubbed = True
    return erased._asdict() | {"scrubbed": scrubbed}
