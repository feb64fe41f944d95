"""A server that takes what is imported, over HTTP with an ingest or admin key."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any
from urllib.parse import quote

import msgspec

from clew.cli.source import HttpSource, ServerRefused
from clew.errors import StoreUnavailable
from clew.model import Score, Span
from clew.move.choices import Choice
from clew.move.importing import Expected
from clew.move.parts import DamagedPart
from clew.store.protocol import KeyRecord
from clew.wire.native import NativeSpan

PATIENCE = 10
"""So often a server may be too busy."""

SPANS_A_BODY = 2_000
_JSON, _MSGPACK = "application/json", "application/msgpack"


class ServerTarget:
    """Sends to the server of *source*. It answers after its commit, so what it took is there."""

    def __init__(self, source: HttpSource, wait: Callable[[float], object] = time.sleep) -> None:
        self._source = source
        self._wait = wait

    def take_spans(self, project: str, spans: Sequence[Span]) -> int:
        """Post them, those of one resource together; a server does not say how many it had."""
        for resource, some in _by_resource(spans):
            natives = [NativeSpan(**{field: getattr(span, field) for field in _FIELDS}) for span in some]
            for at in range(0, len(natives), SPANS_A_BODY):
                self._post_spans(project, {"resource": resource}, natives[at : at + SPANS_A_BODY])
        return 0

    def _post_spans(self, project: str, body: dict[str, Any], spans: list[NativeSpan]) -> None:
        status, answer = self._post(
            "/api/v1/spans", project, msgspec.msgpack.encode({**body, "spans": spans}), _MSGPACK
        )
        if status == 413 and len(spans) > 1:
            middle = len(spans) // 2
            self._post_spans(project, body, spans[:middle])
            self._post_spans(project, body, spans[middle:])
            return
        _check(status, answer)
        if refused := msgspec.json.decode(answer).get("rejected"):
            raise DamagedPart(f"the server refused {len(refused):,} spans: {str(refused[0].get('error'))[:200]}")

    def take_scores(self, project: str, scores: Sequence[Score]) -> None:
        """Post them."""
        _check(*self._post("/api/v1/spans", project, msgspec.json.encode({"scores": list(scores)}), _JSON))

    def take_beyond(self, project: str, body: bytes) -> bool:
        """Post it, as SDKs do."""
        _check(*self._post("/api/v1/graph/deltas", project, body, _MSGPACK))
        return True

    def take_choice(self, project: str, choice: Choice) -> bool:
        """Declare a workflow; arms a server numbers itself, so they are left out."""
        if choice.arm is not None:
            return False
        self._source.save_template(project, choice.text, choice.template)
        return True

    def take_key(self, key: KeyRecord) -> None:
        """Refuse: no server takes keys from others."""
        raise DamagedPart(f"a server takes no keys (here {key.label or key.scope!r}); import them with --store")

    def missing(self, project: str, expected: Expected) -> int:  # noqa: ARG002
        """Nothing: what a server answered 200 for is committed."""
        return 0

    def missing_scores(self, project: str, expected: dict[str, int]) -> int:  # noqa: ARG002
        """Nothing, for the same reason."""
        return 0

    def close(self) -> None:
        """Close nothing: each request has its own connection."""

    def _post(self, path: str, project: str, body: bytes, content_type: str) -> tuple[int, bytes]:
        asked = f"{path}?project={quote(project, safe='')}"
        for turn in range(PATIENCE):
            answer = self._source.send("POST", asked, body, content_type)
            if answer.status != 503:
                return answer.status, answer.body
            self._wait(min(8.0, 0.5 * 2**turn))
        raise StoreUnavailable("the server stayed too busy; import again later, which takes only what is missing")


_FIELDS = NativeSpan.__struct_fields__


def _by_resource(spans: Sequence[Span]) -> Iterator[tuple[dict[str, Any], list[Span]]]:
    for _, some in groupby(spans, key=lambda span: msgspec.json.encode(span.resource, order="sorted")):
        alike = list(some)
        yield alike[0].resource, alike


def _check(status: int, answer: bytes) -> None:
    if status >= 400:
        try:
            message = str(msgspec.json.decode(answer)["error"]["message"])
        except (msgspec.DecodeError, KeyError, TypeError):
            message = "something that is no answer of Clew's; is CLEW_URL right?"
        raise ServerRefused(status, message)
