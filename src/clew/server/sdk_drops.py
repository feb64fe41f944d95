"""
What SDKs say that they lost: counts by cause, from the headers of what they send.

Each process names itself and gives all its counts so far, so that a request that is sent twice, or
lost, changes nothing. All of it is what a client claims: names and figures are bounded, and causes
that we do not know are one cause, so that nobody can make series without end.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from collections.abc import Mapping

INSTANCE_HEADER = "x-clew-instance"
DROPS_HEADER = "x-clew-drops"
CAUSES = frozenset(
    (
        "queue_full",
        "shutdown",
        "spool_full",
        "spool_broken",
        "denied",
        "rejected",
        "failed",
        "unsendable",
        "damaged",
        "deltas",
    )
)
MAX_INSTANCES = 10_000
MAX_HEADER_CHARS = 500
MAX_COUNT = 10**15

_INSTANCE = re.compile(r"[0-9a-f]{16}")
_DROP = re.compile(r"([a-z_]{1,30})=([0-9]{1,15})")


class SdkDrops:
    """The losses of all SDKs together. Only for the event loop's thread."""

    def __init__(self, max_instances: int = MAX_INSTANCES) -> None:
        self.by_cause: Counter[str] = Counter()
        self._max_instances = max_instances
        self._last: OrderedDict[tuple[str, str], dict[str, int]] = OrderedDict()
        """What each process said last; those that were silent longest are forgotten first."""

    def hear(self, project: str, headers: Mapping[str, str]) -> None:
        """Add what is new in *headers*. What is malformed is no claim."""
        instance, text = headers.get(INSTANCE_HEADER, ""), headers.get(DROPS_HEADER, "")
        if not text or len(text) > MAX_HEADER_CHARS or not _INSTANCE.fullmatch(instance):
            return
        claims = [_DROP.fullmatch(part) for part in text.split(",")]
        said: Counter[str] = Counter()
        for claim in claims:
            if claim is None:
                return
            cause = claim[1] if claim[1] in CAUSES else "other"
            said[cause] = min(said[cause] + int(claim[2]), MAX_COUNT)
        before = self._last.pop((project, instance), {})
        for cause, count in said.items():
            self.by_cause[cause] += max(0, count - before.get(cause, 0))
        self._last[project, instance] = {**before, **{c: max(n, before.get(c, 0)) for c, n in said.items()}}
        if len(self._last) > self._max_instances:
            self._last.popitem(last=False)
