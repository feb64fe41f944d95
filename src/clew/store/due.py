"""How much of a stored trace is learned: what the row of `graph_due` says, or that there is none."""

from __future__ import annotations

from collections.abc import Iterable

from clew.model import Span
from clew.store.chunks import ChunkCoder

_ID_CHARS = 16


class Due:
    """One trace's learned and unlearned spans, as a commit changes them."""

    __slots__ = ("_changed", "_changed_chunk", "late")

    def __init__(self, late: list[str] | None, changed_chunk: bytes) -> None:
        self.late = late
        """Ids of the finished spans that are not learned; None if none is."""
        self._changed_chunk = changed_chunk
        self._changed: list[Span] = []

    @classmethod
    def read(cls, late: str | None, changed: str) -> Due:
        """Read both columns as hex; '' is a trace that is learned whole."""
        return cls(None if late is None else ids_of(late), bytes.fromhex(changed))

    def add(self, fresh: Iterable[Span], counted: Iterable[Span]) -> bool:
        """
        Take in what a commit brings; False if nothing is to be learned of it.

        *counted* are spans as they were, of which *fresh* holds the new form.
        """
        if self.late is None:
            return True
        known = set(self.late)
        self._changed += [span for span in counted if span.span_id not in known]
        relearned = {span.span_id for span in self._changed}
        finished = [span.span_id for span in fresh if span.end_ns is not None]
        self.late += [span_id for span_id in finished if span_id not in known and span_id not in relearned]
        return bool(finished)

    def values(self, coder: ChunkCoder) -> tuple[bytes | None, bytes | None]:
        """The columns `late` and `changed`."""
        if self.late is None:
            return None, None
        changed = coder.unpack(self._changed_chunk) if self._changed_chunk else []
        changed += self._changed
        return bytes.fromhex("".join(self.late)), coder.pack([changed])[0] if changed else None


def ids_of(text: str) -> list[str]:
    """Split hex into span ids."""
    return [text[at : at + _ID_CHARS].lower() for at in range(0, len(text), _ID_CHARS)]
