"""
What is done to a span's payload before it leaves the process: capture, the user's processors, redaction.

In this order: what is not to be captured at all is gone first; then each processor sees the payload;
then secrets are taken out, also of what a processor put in; then the rest is cut or hashed, because
half a key is known by nobody any more. What fails costs the payload, never the span, and is said in it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from clew.errors import ConfigError
from clew.model import KINDS, Event, Score
from clew.sdk.capturing import FULL, NONE, Capture, captures_from
from clew.sdk.failures import message_of
from clew.sdk.outbox import outbox
from clew.sdk.redaction import Redactor
from clew.wire.native import NativeSpan

Processor = Callable[[Any], Any]
"""
Takes the payload, {"name", "kind", "attributes", "inputs", "outputs", "events", "status_message"}, and gives
what is to be sent instead; None sends none of it.
"""

_KINDS: Final = frozenset(KINDS)
_encoder: Final = msgspec.msgpack.Encoder()


class Processing:
    """Applied to each span by the writer, and to each event that leaves the process."""

    def __init__(
        self, redactor: Redactor, processors: Iterable[Processor] = (), captures: Mapping[str, Capture] | None = None
    ) -> None:
        self.redactor = redactor
        self.processors = tuple(processors)
        self._captures = dict(captures or {})
        self._other = self._captures.pop("", FULL)

    def capture(self, kind: str) -> Capture:
        """How inputs and outputs of spans of this *kind* are captured."""
        return self._captures.get(kind, self._other)

    def leave_out(self, native: NativeSpan) -> None:
        """Let go of what is not to be captured at all."""
        if self.capture(native.kind) is NONE:
            native.inputs = native.outputs = None

    def passes(self, native: NativeSpan, packed: bytes) -> bool:
        """Whether *native*, packed as *packed*, may go as it is: nearly all do, so this is quick."""
        return not self.processors and self.capture(native.kind) is FULL and self._is_clean(native, packed)

    def apply(self, native: NativeSpan) -> NativeSpan:
        """Change *native* as it is to be sent, in place."""
        self.leave_out(native)
        if self.processors:
            self._process(native)
        if not self._is_clean(native, _encoder.encode(native)):
            self._clean(native)
        capture = self.capture(native.kind)
        native.inputs = capture.of(native.inputs, "inputs", native.problems)
        native.outputs = capture.of(native.outputs, "outputs", native.problems)
        return native

    def bare(self, native: NativeSpan) -> None:
        """The same for a span whose payload could not be sent: its name, and why it failed, are left."""
        if self.processors:
            native.status_message = ""  # No processor has seen it.
        try:
            self._clean(native)
        except Exception:
            native.name = native.status_message = ""

    def _is_clean(self, native: NativeSpan, packed: bytes) -> bool:
        events = [event.attributes for event in native.events] if native.events else ()
        links = [link.attributes for link in native.links] if native.links else ()
        # The ids, at the front, are long words and no keys.
        return self.redactor.is_clean(packed[60:], native.attributes, native.inputs, native.outputs, *events, *links)

    def _clean(self, native: NativeSpan) -> None:
        clean = self.redactor
        native.name, native.status_message = clean.text(native.name), clean.text(native.status_message)
        native.attributes, native.inputs, native.outputs = map(
            clean, (native.attributes, native.inputs, native.outputs)
        )
        native.problems = [clean.text(problem) for problem in native.problems]
        native.scope = clean.text(native.scope)
        for event in native.events:
            event.name, event.attributes = clean.text(event.name), clean(event.attributes)
        for link in native.links:
            link.attributes = clean(link.attributes)

    def score(self, score: Score) -> Score:
        """Take the secrets out of what somebody wrote."""
        text = self.redactor.text
        return msgspec.structs.replace(
            score, name=text(score.name), label=text(score.label), comment=text(score.comment)
        )

    def _process(self, native: NativeSpan) -> None:
        payload: Any = {
            "name": native.name,
            "kind": native.kind,
            "attributes": native.attributes,
            "inputs": native.inputs,
            "outputs": native.outputs,
            "events": [
                {"name": event.name, "at_ns": event.at_ns, "attributes": event.attributes} for event in native.events
            ],
            "status_message": native.status_message,
        }
        processor: Processor | None = None
        try:
            for processor in self.processors:
                payload = processor(payload)
                if payload is None:
                    return _drop(native, f"{_name_of(processor)} left the payload out")
            _take(native, payload)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
                raise
            text = f"{_name_of(processor)} failed, so the payload was not sent: {type(error).__name__}"
            outbox.complain(f"processor:{id(processor)}:{type(error).__name__}", f"{text}: {message_of(error)[:300]}")
            _drop(native, text)


class _Payload(msgspec.Struct, kw_only=True):
    """What a processor has to give."""

    name: str = ""
    kind: str = ""
    attributes: dict[str, Any] = {}
    inputs: Any = None
    outputs: Any = None
    events: list[Event] = []
    status_message: str = ""


def _take(native: NativeSpan, payload: Any) -> None:
    """Take what the last processor gave; raises for what is no payload."""
    if not isinstance(payload, Mapping):
        raise TypeError(f"a processor gives a dict or None, not {type(payload).__name__}")
    taken = msgspec.convert(msgspec.to_builtins(dict(payload), str_keys=True, builtin_types=(bytes,)), _Payload)
    native.name = taken.name or native.name
    native.kind = taken.kind if taken.kind in _KINDS else native.kind
    native.attributes, native.events = taken.attributes, taken.events
    native.inputs, native.outputs = taken.inputs, taken.outputs
    native.status_message = taken.status_message


def _drop(native: NativeSpan, why: str) -> None:
    native.attributes, native.inputs, native.outputs, native.events, native.links = {}, None, None, [], []
    native.status_message = ""
    native.problems = [*native.problems, why[:300]]


def _name_of(processor: Any) -> str:
    return f"the processor {getattr(processor, '__name__', None) or type(processor).__name__}"


def processing_from(
    redact: bool, redact_names: Iterable[str], processors: Iterable[Processor], capture: Mapping[str, str] | str
) -> Processing:
    """
    Make what spans go through.

    Raises:
        ConfigError: what was given cannot be used.
    """
    if not isinstance(redact, bool):
        raise ConfigError("redact", f"{redact!r:.100} is neither True nor False")
    return Processing(
        Redactor(looks=redact, names=_names(redact_names)), _processors(processors), captures_from(capture)
    )


def _names(names: Any) -> tuple[str, ...]:
    if isinstance(names, str):
        raise ConfigError("redact_names", f"{names!r:.100} is one text; give a list: [{names!r:.100}]")
    try:
        given = tuple(names)
    except TypeError:
        raise ConfigError("redact_names", f"{names!r:.100} is no list of names") from None
    for name in given:
        if not isinstance(name, str) or not any(char.isalnum() for char in name):
            raise ConfigError("redact_names", f"{name!r:.100} is no name")
    return given


def _processors(processors: Any) -> tuple[Processor, ...]:
    if callable(processors):
        raise ConfigError("processors", f"{processors!r:.100} is one function; give a list of them")
    try:
        given = tuple(processors)
    except TypeError:
        raise ConfigError("processors", f"{processors!r:.100} is no list of functions") from None
    for processor in given:
        if not callable(processor):
            raise ConfigError("processors", f"{processor!r:.100} cannot be called")
    return given
