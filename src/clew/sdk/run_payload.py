"""
What a LangSmith run holds, as Clew's spans hold it: payloads as dicts, metadata as attributes, kinds.

Users pass anything. What is no dict, no list of tags or no metadata is made one, or left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

from clew.sdk.calls import Call
from clew.sdk.kept import Cut, is_a
from clew.sdk.outbox import outbox

KINDS: Final = {
    "llm": "generation", "chat_model": "generation", "retriever": "retrieval", "tool": "tool",
    "embedding": "embedding", "chain": "chain", "prompt": "chain", "parser": "chain",
}  # fmt: skip
KEPT_TAGS: Final = 1_000
RUN_TYPES: Final = {"generation": "llm", "retrieval": "retriever"}
_PLAIN: Final = frozenset({"llm", "retriever", "tool", "embedding", "chain"})
_SESSIONS: Final = ("session_id", "thread_id", "conversation_id")
_USAGE: Final = {"input_tokens": "input_tokens", "output_tokens": "output_tokens", "total_cost": "cost_usd"}


def kind_of(run_type: Any) -> str:
    """Give Clew's kind for LangSmith's *run_type*; what is none of those is "other"."""
    kind = KINDS.get(run_type) if type(run_type) is str else None
    if kind is None:
        outbox.complain(f"run_type:{shown(run_type)}", f"run_type {shown(run_type)} is unknown, kept as kind other")
    return kind or "other"


def attributes_of(run: Any) -> dict[str, Any]:
    """Give the metadata of *run* as attributes, and what conventions read under other names."""
    metadata = run.metadata
    found = dict(metadata)
    if tags := tags_of(run.tags):
        found["tags"] = tags
    if type(run.run_type) is str and run.run_type not in _PLAIN and not run.is_view:
        found["langsmith.span.kind"] = run.run_type
    if text_of(run.session_name):
        found["langsmith.project"] = run.session_name
    for name in _SESSIONS:
        if metadata.get(name) is not None:
            found.setdefault("session_id", str(metadata[name]))
    usage = run.outputs.get("usage_metadata") or metadata.get("usage_metadata")
    if usage is not None and is_a(usage, Mapping):
        for name, attribute in _USAGE.items():
            if usage.get(name) is not None:
                found.setdefault(attribute, usage[name])
    return found


def taken(value: Any) -> dict[Any, Any]:
    """Give a copy of *value* if it is a mapping that can be read, and an empty one if not."""
    if is_a(value, dict):
        return dict.copy(value)
    try:
        return dict(value) if is_a(value, Mapping) else {}
    except Exception:
        return {}


def as_dict(value: Any, key: str = "output") -> dict[str, Any]:
    """Give *value* as LangSmith keeps payloads: a dict, or one made of it."""
    if is_a(value, dict):
        given: dict[str, Any] = value
        return given
    if value is None:
        return {}
    try:
        if not is_a(value, type) and callable(dump := getattr(value, "model_dump", None)):
            made = dump(exclude_none=True, mode="json")
            return made if is_a(made, dict) else {key: value}
        return dict(value) if is_a(value, Mapping) else {key: value}
    except Exception:
        return {key: value}


def tags_of(value: Any) -> list[str]:
    """Give *value* as tags: texts, one or several."""
    if value is None:
        return []
    try:
        if is_a(value, str):
            return [str.__str__(value)]
        # What is neither of these may be without an end, or is the user's to iterate.
        if is_a(value, (list, tuple, set, frozenset)):
            return [str(tag) for tag in islice(value, KEPT_TAGS)]
    except Exception:  # noqa: S110  said below
        pass
    outbox.complain("tags", f"tags= ignored: want texts, got {type(value).__name__}")
    return []


def text_of(value: Any) -> str | None:
    """Give *value* if it is a text with something in it, else None."""
    if type(value) is not str:
        # A subclass's own methods are the user's, and may raise where it is hashed or measured.
        value = str.__str__(value) if is_a(value, str) else None
    return value or None


def id_of(value: Any) -> str | None:
    """Give a UUID as text; None if there is none."""
    try:
        return None if value is None else str(value)
    except Exception:
        return None


def shown(value: Any) -> str:
    """Give the beginning of what *value* looks like, for the log; of one that fails at that, its class."""
    try:
        return f"{value!r:.300}"
    except Exception:
        return f"a {type(value).__name__}"


def list_of(value: Any) -> list[Any]:
    """Give *value* as a list; an empty one if it is none."""
    return list(value) if is_a(value, (list, tuple)) else []


def mapping_of(value: Any) -> Mapping[str, Any]:
    """Give *value* as metadata: itself if it is a mapping."""
    if value is None:
        return {}
    if type(value) is dict:
        return value
    # Asking whether it is some mapping takes longer than all the rest.
    if not is_a(value, Mapping):
        outbox.complain("metadata", f"metadata= ignored: want a dict, got {type(value).__name__}")
        return {}
    return taken(value)


def plain_of(value: Any) -> Any:
    """Give a span's payload as the user gave it."""
    if type(value) is Call:
        return value.bound([])
    return value.told("value", []) if is_a(value, Cut) else value


def part_of(mapping: Any, key: str) -> dict[str, Any]:
    """Give a copy of the dict under *key*; an empty one if there is none."""
    found = mapping.get(key) if is_a(mapping, Mapping) else None
    return dict(found) if found is not None and is_a(found, Mapping) else {}
