"""
How traces go: whole days, by ClickHouse itself (`?keep_days=30` in the URL). All else is refused.

A rule that keeps errors longer, a limit of bytes or an erasure would have to take single traces out of
parts that are shared with others, and what histograms counted of them out of nothing: here they are
summed from the traces. To do it half, and to say that it was done, is what must not happen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from clew.errors import BadFilter
from clew.store.clickhouse.graph_store import ClickhouseGraph
from clew.store.protocol import Erased, Expiring, Gone, Place, Policy, Whom

_BY_DAY = "the ClickHouse store drops whole days only: end its URL with ?keep_days=30, and set no rule"
_BY_HAND = "the ClickHouse store cannot erase single traces; docs/scale-out.md has the statements that do it by hand"


class ClickhouseExpiry(ClickhouseGraph):
    """Says of `clew.store.protocol.Retention` what it cannot do."""

    def expired(
        self,
        policy: Policy,
        *,
        now_ns: int,  # noqa: ARG002
        limit: int,  # noqa: ARG002
        after: Place | None = None,  # noqa: ARG002
    ) -> list[Expiring]:
        """Give none if no rule drops by age; else refuse."""
        return _refuse(_BY_DAY) if policy.drops_by_age else []

    def earliest(
        self,
        policy: Policy,
        *,
        limit: int,  # noqa: ARG002
        after: Place | None = None,  # noqa: ARG002
        spare: bool = True,  # noqa: ARG002
    ) -> list[Expiring]:
        """Give none if no size is set; else refuse."""
        return _refuse(_BY_DAY) if policy.most_bytes is not None else []

    def drop_expired(self, found: Sequence[Expiring], *, learned_only: bool = True) -> Gone:  # noqa: ARG002
        """Refuse, unless there is nothing to drop."""
        return _refuse(_BY_DAY) if found else Gone()

    def drop_metrics(self, resolution_s: int, *, before_s: int, limit: int) -> int:  # noqa: ARG002
        """Drop nothing: there are no histograms beside the traces, and minutes go with their days."""
        return 0

    def drop_suggestions(self, *, before_ns: int, limit: int) -> int:  # noqa: ARG002
        """Drop none: taking single rows out rewrites whole parts, and suggestions are few."""
        return 0

    def give_back(self, *, spare_bytes: int = 0) -> bool:  # noqa: ARG002
        """Do nothing: ClickHouse gives free space back by itself."""
        return False

    def erase(self, whom: Whom) -> Erased:  # noqa: ARG002
        """
        Refuse.

        Raises:
            BadFilter: always; says where it is written how to do it.
        """
        return _refuse(_BY_HAND, field="erase")

    def scrub(self) -> bool:
        """Do nothing: nothing was erased."""
        return False


def _refuse(problem: str, *, field: str = "retention") -> NoReturn:
    raise BadFilter(field, problem)
