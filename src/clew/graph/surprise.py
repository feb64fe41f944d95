"""
How unlikely a difference is, if nothing has changed.

Source: the likelihood ratio test G with Yates's correction: Sokal and Rohlf, Biometry, on
goodness of fit. Unlike chi-square it stays right far out and where one side is small: of five calls
two, and of ten thousand none, is no matter of hundreds of digits.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import erfc, log, log10, pi, sqrt
from statistics import median

MOST = 300.0
"""Of surprise: where a chance is too small for a float, or there is no chance in it at all."""

MOST_SPREAD = 8.0
"""Where nearly everything has changed, the middle is no measure of noise."""

MEDIAN_OF_CHI_SQUARE = 0.4549
"""With one degree of freedom: what the middle of G is if nothing has changed."""


def g_of_shares(before: float, before_of: float, after: float, after_of: float) -> float:
    """
    Give G for *before* of *before_of* beside *after* of *after_of*: the larger, the further they are apart.

    Counts may be weighted, but not above what they are of. 0 where a side has nothing to compare.
    """
    whole, pooled = before_of + after_of, before + after
    if before_of <= 0 or after_of <= 0:
        return 0.0
    seen = (before, after, before_of - before, after_of - after)
    share = pooled / whole
    return _g(seen, (before_of * share, after_of * share, before_of * (1 - share), after_of * (1 - share)))


def g_of_rates(before: float, before_of: float, after: float, after_of: float) -> float:
    """Give the same for what may happen several times a call: how the happenings fall to the two sides."""
    if before_of <= 0 or after_of <= 0:
        return 0.0
    rate = (before + after) / (before_of + after_of)
    return _g((before, after), (before_of * rate, after_of * rate))


def _g(seen: Collection[float], expected: Collection[float]) -> float:
    g = 0.0
    for count, wanted in zip(seen, expected, strict=True):
        # Yates: half an observation nearer to what was expected, and never past it.
        nearer = max(count - 0.5, wanted) if count > wanted else min(count + 0.5, wanted)
        if nearer > 0 and wanted > 0:
            g += 2 * nearer * log(nearer / wanted)
    return max(0.0, g)


def surprise(g: float) -> float:
    """Give -log10 of the chance of so large a G, or a larger one, if nothing has changed."""
    x = sqrt(g / 2)
    if x < 25:
        return -log10(erfc(x))
    # Past here erfc comes near to what a float can hold: the first terms of its asymptotic series.
    return min(MOST, g / 2 / log(10) - log10(1 - 1 / g) + log10(x * sqrt(pi)))


def spread_of(found: Sequence[float]) -> float:
    """
    Say how much more G varies than chance would have it, judged by the middle of many: 1 to MOST_SPREAD.

    Calls of one trace are like each other, loops and batches most of all, so counts jump more than
    independent ones; but most of what is compared has not changed. Of few, nothing can be said.

    Source: Devlin and Roeder: Genomic Control for Association Studies (1999).
    """
    if len(found) < 20:
        return 1.0
    return min(MOST_SPREAD, max(1.0, median(found) / MEDIAN_OF_CHI_SQUARE))


def surprising(found: Collection[float], chance: float) -> float:
    """
    Give the surprise from which on findings count, so that of those at most *chance* is expected to be noise.

    Source: Benjamini and Hochberg: Controlling the False Discovery Rate (1995).
    """
    least = MOST + 1
    for rank, each in enumerate(sorted(found, reverse=True), start=1):
        if each >= -log10(chance * rank / len(found)):
            least = each
    return least
