"""What `search_traces` may be asked, and the query string that says it to the admin API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from clew.query.conditions import MAX_CONDITIONS, pair_of

Flag = Literal["USER_NEGATIVE", "EMPTY", "LOW_CONFIDENCE", "NORMAL"]
Status = Literal["unset", "ok", "error"]
Words = Annotated[str, Field(description="Every word must occur in names, errors, inputs or outputs.")]
Since = Annotated[str, Field(description="Started at or after: ISO 8601, or Unix seconds.")]
Until = Annotated[str, Field(description="Started before: ISO 8601, or Unix seconds.")]
Kind = Annotated[str, Field(description="Has a span of this kind, such as retrieval, generation or tool.")]
Model = Annotated[str, Field(description="Has a span of exactly this model.")]
Name = Annotated[str, Field(description="Has a span of exactly this name.")]
Tags = Annotated[list[str], Field(max_length=MAX_CONDITIONS, description="Has spans with all of these tags.")]
Attributes = Annotated[
    list[str],
    Field(
        max_length=MAX_CONDITIONS,
        description='Conditions that must all hold: "tier=gold", "top_k>=5", "top_k<=9", "tier!=gold",'
        " or a name alone for any value. Rare values are slow: narrow the time or the user as well.",
    ),
]
Scores = Annotated[
    list[str],
    Field(max_length=MAX_CONDITIONS, description='Conditions on scores: "rating<=2", "fit=good", or a name alone.'),
]
AtLeast = Annotated[float | None, Field(ge=0)]
TokenCount = Annotated[int | None, Field(ge=0, description="Input and output tokens together.")]
Cursor = Annotated[str, Field(description="next_cursor of the page before.")]

GO_ON = (
    "Not every trace was looked through, so these may not be all, and none does not mean that there is none."
    " Ask the same again with cursor set to next_cursor, until unfinished is false; or narrow it by since, until,"
    " user_id, session_id, status, quality_flag, kind, model or text."
)


def params_of(plain: Mapping[str, Any], listed: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """
    Give the query string: *plain* by name, without what was not given, and *listed* conditions by prefix.

    Raises:
        BadFilter: a condition cannot be read.
    """
    given = [(name, str(value)) for name, value in plain.items() if value not in {None, ""}]
    for prefix, lines in listed.items():
        given += [pair_of(prefix, line) if prefix.endswith(".") else (prefix, line) for line in lines]
    return given


def facts_of(page: Mapping[str, Any]) -> dict[str, Any]:
    """Give what Clew vouches for about a page: how many, where to go on, and whether it ended early."""
    facts = {"count": len(page["traces"]), "next_cursor": page["next_cursor"], "unfinished": bool(page["unfinished"])}
    return {**facts, "what_to_do": GO_ON} if facts["unfinished"] else facts
