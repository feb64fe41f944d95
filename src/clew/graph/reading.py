"""
Spans as the learner reads them: calls, with the nesting and the dataflow that the spans do not state.

Pure. Recorded event lines come the same way: they become spans first (`clew.graph.recorded` reads
those that are calls already).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clew.graph.calls import Call, TraceCalls, short
from clew.graph.dataflow import Exchange, Flow, flows
from clew.graph.nesting import innermost
from clew.graph.order import RUNNING
from clew.graph.values import parsed
from clew.model import Span

PARENTLESS = "clew.event.parentless"
"""An attribute, true on the spans of events that named no parent: theirs is inferred."""

ENCLOSING_KINDS = frozenset({"capability", "agent", "chain"})
"""The kinds that a call without a parent can be found inside of."""

MOST_ARGUMENTS = 64
"""Names of arguments that are kept of a call: the first in order of name."""

_VERSION = "service.version"
_MOST_JSON_CHARS = 65_536
_NO_FLOW = Flow()


def calls_of(
    trace_id: str,
    spans: Iterable[Span],
    *,
    version: str | None = None,
    running: bool = False,
    dataflow: bool = True,
) -> TraceCalls:
    """
    Read the spans of one trace as calls.

    *version* is the service's; None to take it from the root's resource. Spans that have not ended
    are left out, since how they end is not known yet; *running* takes them as well. Without *dataflow*,
    which is most of the work, nothing is said of who took what from whom.

    A parent that a span names is believed whatever the clocks say. Where an event named none
    (`PARENTLESS`), it is the innermost capability around it if that is plain, and else none; both
    ways the call says that its parent is inferred.
    """
    taken = [span for span in spans if running or span.end_ns is not None]
    inferred = _inferred_parents(taken)
    found = _flows(taken, inferred) if dataflow else [_NO_FLOW] * len(taken)
    calls = [
        Call(
            call_id=span.span_id,
            parent_id=inferred.get(at, span.parent_id) if inferred else span.parent_id,
            kind=span.kind,
            name=short(span.name),
            start_ns=span.start_ns,
            end_ns=span.end_ns,
            ok=span.status != "error",
            arguments=() if span.inputs is None else _arguments(span.inputs),
            pending=flow.pending,
            consumed=flow.consumed,
            provider_ids=flow.provider_ids,
            parent_is_inferred=at in inferred,
        )
        for at, (span, flow) in enumerate(zip(taken, found, strict=True))
    ]
    return TraceCalls(trace_id=trace_id, calls=calls, version=version or _version(taken))


def _inferred_parents(spans: Sequence[Span]) -> dict[int, str | None]:
    """The parents of events that named none, by place; None where it is not plain."""
    parentless = [
        at for at, span in enumerate(spans) if span.parent_id is None and span.attributes.get(PARENTLESS) is True
    ]
    if not parentless:
        return {}
    enclosing = [span for span in spans if span.kind in ENCLOSING_KINDS]
    nearest = innermost([_interval(spans[at]) for at in parentless], [_interval(span) for span in enclosing])
    return {
        at: None if place is None else enclosing[place].span_id for at, place in zip(parentless, nearest, strict=True)
    }


def _interval(span: Span) -> tuple[int, int]:
    return span.start_ns, RUNNING if span.end_ns is None else max(span.start_ns, span.end_ns)


def _flows(spans: Sequence[Span], inferred: Mapping[int, str | None]) -> Sequence[Flow]:
    """What each call took from others; nothing where no payload was captured."""
    gives = any(span.outputs is not None for span in spans)
    if not gives:
        return [_NO_FLOW] * len(spans)
    return flows(
        [
            Exchange(
                call_id=span.span_id,
                parent_id=inferred.get(at, span.parent_id),
                name=short(span.name),
                start_ns=span.start_ns,
                end_ns=span.end_ns,
                inputs=span.inputs,
                outputs=span.outputs,
            )
            for at, span in enumerate(spans)
        ]
    )


def _arguments(inputs: Any) -> tuple[str, ...]:
    """The names of the arguments: the keys of the inputs, which may be text that is JSON."""
    if isinstance(inputs, str) and len(inputs) <= _MOST_JSON_CHARS:
        inputs = parsed(inputs)
    if not isinstance(inputs, dict):
        return ()
    return tuple(sorted({short(str(key)) for key in inputs})[:MOST_ARGUMENTS])


def _version(spans: Iterable[Span]) -> str | None:
    """What the root's process says of its version; of several spans without a parent, the earliest's."""
    roots = [span for span in spans if span.parent_id is None]
    root = min(roots, key=lambda span: (span.start_ns, span.span_id), default=None)
    # The SDK's own spans have no resource: it says the version itself.
    said = getattr(root, "resource", {}).get(_VERSION)
    return short(said) if isinstance(said, str) and said else None
