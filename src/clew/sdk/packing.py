"""
A live span made into what is sent: `NativeSpan`, and its bytes.

Most spans hold plain values, and msgspec converts and encodes those in C, in one step of the
interpreter, so that user code cannot change a list while it is read. (That is also why no
`enc_hook` is used: it would let user code in.) Whatever msgspec refuses, and whatever is too
large, goes the slow way through `clew.sdk.plain`; if even that fails, the span is sent
stripped of its payload, with a note. A span is never lost for what was put into it.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from clew.model import KINDS, Event, Kind, Score
from clew.sdk.calls import Call
from clew.sdk.failures import Raised, stacktrace
from clew.sdk.kept import Cut
from clew.sdk.outbox import outbox
from clew.sdk.plain import NARROW, WIDE, Limits, Plain
from clew.sdk.processing import Processing
from clew.sdk.span import KEPT_EVENTS, ActiveSpan, Extra
from clew.sdk.tokens import Tokens
from clew.wire.native import NativeBody, NativeSpan

MAX_SPAN_BYTES: Final = 4 << 20
NAME_CHARS: Final = 1_000

_BYTES: Final = (bytes, bytearray, memoryview)
_KINDS: Final = frozenset(KINDS)
_encoder: Final = msgspec.msgpack.Encoder()


class PackedBody(NativeBody):
    """A body that also carries its spans as MessagePack, so that they are encoded only once."""

    packed: list[bytes] = []  # noqa: RUF012  msgspec copies it

    def encode(self) -> bytes:
        """The whole body as MessagePack."""
        return b"".join(
            (
                b"\x83\xa5spans\xdd",
                len(self.packed).to_bytes(4, "big"),
                *self.packed,
                b"\xa6scores",
                _encoder.encode(self.scores),
                b"\xa8resource",
                _encoder.encode(self.resource),
            )
        )


def pack(span: ActiveSpan, processing: Processing | None = None) -> tuple[NativeSpan, bytes]:
    """Make *span* ready to be sent, with *processing* applied. Never raises for what the span holds."""
    problems: list[str] = []
    try:
        native = _native(span, _as_it_is(span, problems, processing), problems)
        if processing is not None:
            processing.leave_out(native)
        packed = _encoder.encode(native)
        if len(packed) <= MAX_SPAN_BYTES:
            if processing is None or processing.passes(native, packed):
                return native, packed
            packed = _encoder.encode(processing.apply(native))
            if len(packed) <= MAX_SPAN_BYTES:
                return native, packed
    except Exception:  # noqa: S110  not plain, or broken text, or too deep: what follows says so in the span
        pass
    for limits in (WIDE, NARROW):
        try:
            native = _mended(span, limits, processing)
            packed = _encoder.encode(native if processing is None else processing.apply(native))
            if len(packed) <= MAX_SPAN_BYTES:
                return native, packed
        except Exception as error:
            outbox.complain("mend", f"a span's payload could not be mended: {error!r:.300}")
    return stripped(span, processing)


def stripped(span: ActiveSpan, processing: Processing | None = None) -> tuple[NativeSpan, bytes]:
    """The span without what was put into it: times, place and a note."""
    name = _name(span, Plain(NARROW))
    native = _native(span, ({}, None, None, []), ["attributes, inputs and outputs could not be sent"])
    native.name = name
    native.status_message = native.status_message.encode("utf-8", "replace").decode()
    native.attributes, native.events, native.links = {}, [], []
    if processing is not None:
        processing.bare(native)
    return native, _encoder.encode(native)


def strip_packed(native: NativeSpan, why: str) -> tuple[NativeSpan, bytes]:
    """The same for a span that was packed, and which the other side would not have."""
    bare = NativeSpan(
        trace_id=native.trace_id,
        span_id=native.span_id,
        parent_id=native.parent_id,
        name=native.name[:100],
        kind=native.kind,
        start_ns=native.start_ns,
        end_ns=native.end_ns,
        status=native.status,
        problems=[f"sent without its payload, which was refused: {why}"[:500]],
    )
    return bare, _encoder.encode(bare)


def without_secrets(score: Score, processing: Processing | None) -> Score:
    """Take the secrets out of what a score says; a comment that cannot be read through is not sent."""
    if processing is None:
        return score
    try:
        return processing.score(score)
    except Exception as error:
        outbox.complain("score:redact", f"a score's comment was left out: {error!r:.300}")
        return msgspec.structs.replace(score, label="", comment="")


def encoded_size(score: Score) -> int:
    """How many bytes the score takes; raises for what cannot be sent."""
    return len(_encoder.encode(score))


_Payload = tuple[dict[str, Any], Any, Any, list[Event]]


def _as_it_is(span: ActiveSpan, problems: list[str], processing: Processing | None) -> _Payload:
    """The payload as msgspec makes it plain; raises for whatever is not nearly so already."""
    inputs, outputs = _unfolded(span._inputs, "inputs", problems), _unfolded(span._outputs, "outputs", problems)
    values = (span._attributes, inputs, outputs)
    # Bytes would become base64, in which nobody finds a secret any more.
    left = _BYTES if processing is not None else ()
    attributes, inputs, outputs = msgspec.to_builtins(values, str_keys=True, builtin_types=left)
    events = []
    for event in _events(span, problems):
        event.attributes = msgspec.to_builtins(event.attributes, str_keys=True, builtin_types=left)
        events.append(event)
    return attributes, inputs, outputs, events


def _mended(span: ActiveSpan, limits: Limits, processing: Processing | None) -> NativeSpan:
    plain = Plain(limits, clean=None if processing is None else processing.redactor.text)
    attributes = plain(span._attributes, "attributes")
    inputs = plain(_unfolded(span._inputs, "inputs", plain.problems), "inputs")
    outputs = plain(_unfolded(span._outputs, "outputs", plain.problems), "outputs")
    events = _events(span, plain.problems)
    if len(events) > limits.items:
        plain.say(f"{len(events) - limits.items} events were left out")
        del events[limits.items :]
    for event in events:
        event.name = plain.text(str(event.name), "event")[:NAME_CHARS]
        event.attributes = plain(event.attributes, "event")
    name = _name(span, plain)
    kept = attributes if isinstance(attributes, dict) else {}
    native = _native(span, (kept, inputs, outputs, events), plain.problems)
    native.name = name
    native.status_message = plain.text(native.status_message, "status message")
    return native


def _native(span: ActiveSpan, payload: _Payload, problems: list[str]) -> NativeSpan:
    attributes, inputs, outputs, events = payload
    extra = span._extra
    error = extra.error if extra is not None else None
    if extra is not None:
        problems.extend(extra.problems)
        if extra.tokens is not None:
            attributes = {**_tokens(span, extra.tokens), **attributes}
    native = NativeSpan(
        trace_id=f"{span._trace:032x}",
        span_id=f"{span._span:016x}",
        parent_id=f"{span._parent:016x}" if span._parent else None,
        name=span.name if type(span.name) is str and len(span.name) <= NAME_CHARS else _name(span, Plain(NARROW)),
        kind=_kind(span._kind, problems),
        start_ns=span._start + span._anchor,
        end_ns=span._end + span._anchor,
        status="ok" if error is None else "error",
        status_message=error if type(error) is str else "" if error is None else _name_text(error),
        attributes=attributes,
        inputs=inputs,
        outputs=outputs,
        events=events,
        problems=problems,
    )
    if extra is not None and extra.foreign is not None:
        extra.foreign.complete(native)
    return native


def _tokens(span: ActiveSpan, tokens: Tokens) -> dict[str, Any]:
    """The timeline of a stream; nothing of one that gave nothing."""
    told = tokens.attributes(span._start)
    return {**told, "first_token_ms": tokens.first_ms(span._start)} if told else told


def _kind(kind: Any, problems: list[str]) -> Kind:
    if type(kind) is str:
        if kind in _KINDS:
            return kind
        if kind.lower() in _KINDS:
            return kind.lower()  # type: ignore[return-value]
    shown = f"{_name_text(kind)[:60]!r}"
    problems.append(f"kind {shown} is unknown; kept as other")
    outbox.complain(f"kind:{shown}", f"span kind {shown} is unknown and kept as other; known are {', '.join(KINDS)}")
    return "other"


def _name(span: ActiveSpan, plain: Plain) -> str:
    return plain.text(_name_text(span.name), "name")[:NAME_CHARS]


def _name_text(value: Any) -> str:
    """A text from what should have been one."""
    return value if type(value) is str else str(Plain(NARROW)(value, "name"))


def _unfolded(value: Any, path: str, problems: list[str]) -> Any:
    """Inputs or outputs as they are meant: a call's arguments by name, a cut list with a note."""
    if type(value) is Call:
        return value.bound(problems)
    if isinstance(value, Cut):
        return value.told(path, problems)
    return value


def _events(span: ActiveSpan, problems: list[str]) -> list[Event]:
    extra: Extra | None = span._extra
    if extra is None:
        return []
    if len(extra.events) >= KEPT_EVENTS:
        problems.append(f"only the first {KEPT_EVENTS} events were kept")
    return [Event(name=name, at_ns=at + span._anchor, attributes=_told(what)) for name, at, what in extra.events]


def _told(what: dict[str, Any] | Raised) -> dict[str, Any]:
    if isinstance(what, Raised):
        return {
            "exception.type": what.type,
            "exception.message": what.message,
            "exception.stacktrace": stacktrace(what),
            **(what.attributes or {}),
        }
    return what
