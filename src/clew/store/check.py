"""What every backend refuses, before it looks at what is stored."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence

from clew.errors import BadFilter, MalformedBody
from clew.model import Batch
from clew.store.tally import GROUPINGS


def check_batch(batch: Batch) -> None:
    """
    Refuse scores that mean nothing; kept for a trace to come, one would spoil it for ever.

    Raises:
        MalformedBody: a score is not a number, or its best is not over zero.
    """
    for score in batch.scores:
        if not (math.isfinite(score.value) and math.isfinite(score.best) and score.best > 0):
            raise MalformedBody(f"score {score.name[:80]!r}: {score.value} of {score.best} is no judgement")


def check_latency(*, since_ns: int, until_ns: int, group_by: Sequence[str]) -> None:
    """
    Refuse a window or a grouping that makes no sense.

    Raises:
        BadFilter: the window ends before it begins, or a grouping is not kind, name or model.
    """
    if until_ns < since_ns:
        raise BadFilter("until", "the window ends before it begins")
    for field in group_by:
        if field not in GROUPINGS:
            raise BadFilter("group_by", f"{field!r} is not one of {', '.join(GROUPINGS)}")


def check_limit(limit: int) -> None:
    """
    Refuse a page of nothing.

    Raises:
        BadFilter: *limit* is not over zero.
    """
    if limit < 1:
        raise BadFilter("limit", f"{limit} is not over zero")


def check_cursor(after: tuple[int, str] | None) -> None:
    """
    Refuse a cursor that no page gave.

    Raises:
        BadFilter: its id is not hex.
    """
    try:
        bytes.fromhex(after[1] if after else "")
    except ValueError:
        raise BadFilter("cursor", f"{after[1][:80]!r} is not a trace id") from None  # type: ignore[index]


def check_shares(shares: Mapping[int, float], known: Container[int]) -> None:
    """
    Refuse shares of the traffic that cannot be given.

    Raises:
        BadFilter: a version is not *known*, or a share is not over 0 and at most 1.
    """
    for version, share in shares.items():
        if version not in known:
            raise BadFilter("version", f"there is no arm of version {version}; list the arms to see which there are")
        if not 0 < share <= 1:
            raise BadFilter("share", f"{share} is not over 0 and at most 1")
