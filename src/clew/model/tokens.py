"""
When the tokens of a stream came: the attribute `clew.tokens`, one array of whole numbers.

    [412000, 21300, 19800, 0, 20100]

The first is microseconds from the span's start to the first token, each of the others microseconds
since the token before; 0 came with it. Small numbers, so a token takes two or three bytes in
MessagePack. `clew.token_count` says how many came. A stream of very many tokens is thinned: then
`clew.tokens_every` is n, and the array tells every nth token, from the first.

What is counted is what the stream gave. Providers may put more than one token into a piece, so
`output_tokens`, which costs are counted by, is another thing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate, pairwise
from typing import Any, Final, NamedTuple

TOKENS: Final = "clew.tokens"
COUNT: Final = "clew.token_count"
EVERY: Final = "clew.tokens_every"


class Timeline(NamedTuple):
    """When the tokens came."""

    offsets_us: list[int]
    """Microseconds from the span's start, one for each token that is told."""
    count: int  # type: ignore[assignment]
    """How many came."""
    every: int
    """1, or n if only every nth is told."""

    @property
    def first_ms(self) -> float:
        """Milliseconds to the first token."""
        return self.offsets_us[0] / 1e3

    @property
    def per_second(self) -> float | None:
        """Tokens a second, between the first and the last one told; None if that is no time at all."""
        took_us = self.offsets_us[-1] - self.offsets_us[0]
        return (len(self.offsets_us) - 1) * self.every * 1e6 / took_us if took_us > 0 else None


def encode(offsets_us: Iterable[int]) -> list[int]:
    """Give the array for tokens that came so many microseconds after the span's start, in order."""
    ordered = list(offsets_us)
    return [*ordered[:1], *(after - before for before, after in pairwise(ordered))]


def decode(told: Iterable[int]) -> list[int]:
    """Give microseconds from the span's start to each token: the sums of the array."""
    return list(accumulate(told))


def timeline(attributes: Mapping[str, Any]) -> Timeline | None:
    """Read the timeline from a span's attributes; None if there is none, or if it is none."""
    told = attributes.get(TOKENS)
    if not isinstance(told, (list, tuple)) or not told or any(type(each) is not int or each < 0 for each in told):
        return None
    count, every = attributes.get(COUNT), attributes.get(EVERY)
    every = every if type(every) is int and every > 0 else 1
    return Timeline(decode(told), count if type(count) is int and count >= len(told) else len(told) * every, every)
