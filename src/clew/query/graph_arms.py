"""
Which arm answers: the one that was chosen for the project, one of an A/B by trace, or the default.

Version 0 is a question's own default arm with its own weights: what answers while nothing else was
chosen, and for the part of the traffic that no share of an A/B covers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from inspect import signature
from typing import NamedTuple

from clew.errors import BadFilter
from clew.graph import paths, plan, search, similarity, suggest
from clew.store.protocol import Arm, GraphStore

_ASKED: Mapping[str, tuple[Callable[..., object], Iterable[str]]] = {
    "suggest": (suggest.suggest, suggest.ARMS),
    "path": (paths.path, paths.ARMS),
    "plan": (plan.plan, plan.ARMS),
    "similar": (similarity.similar, similarity.ARMS),
    "search": (search.search, search.ARMS),
}

ARMS: Mapping[str, tuple[str, ...]] = {question: tuple(arms) for question, (_, arms) in _ASKED.items()}
"""The questions that have arms, and what these are called."""

DEFAULT_ARM: Mapping[str, str] = {
    question: signature(answer).parameters["arm"].default for question, (answer, _) in _ASKED.items()
}

REMEMBERED_S = 1.0
"""A choice made by another process counts after so long; one made here at once."""

MAX_WEIGHTS = 1_000
MAX_NOTE_CHARS = 1_000


class ChosenArm(NamedTuple):
    """What answers one question."""

    arm: str
    version: int
    weights: dict[str, float] | None
    """None: the arm's own."""


class ChosenArms:
    """Reads and changes what was chosen. From any thread."""

    def __init__(self, store: GraphStore, *, now_ns: Callable[[], int]) -> None:
        self._store = store
        self._now_ns = now_ns
        self._remembered: dict[str, tuple[float, list[Arm]]] = {}

    def pick(self, project: str, question: str, asked: str | None, trace_id: str | None) -> ChosenArm:
        """
        Say what answers: *asked*, if it is given, by its name or a stored version's number.

        Otherwise what was chosen. In an A/B the trace decides, so that all of its questions have one
        arm in every process; without a trace the largest share.

        Raises:
            BadFilter: there is no such arm, or no such version.
        """
        if asked is not None and not asked.isdecimal():
            return ChosenArm(known_arm("arm", question, asked), 0, None)
        arms = self._arms(project, question)
        if asked is not None:
            return _use(question, version_of(arms, question, "arm", int(asked)))
        return _use(question, _by_share(arms, question, trace_id))

    def stored(self, project: str, question: str | None = None) -> list[Arm]:
        """Give the stored arms, of one question or of all."""
        if question is not None:
            known_question("question", question)
        return self._store.arms(project, question)

    def add(self, project: str, question: str, arm: str, weights: Mapping[str, float], note: str) -> int:
        """
        Store an arm with its weights; gives its version. It answers only once it is chosen.

        Raises:
            BadFilter: there is no such question or arm, or too many weights.
        """
        known_arm("arm", known_question("question", question), arm)
        if len(weights) > MAX_WEIGHTS:
            raise BadFilter("weights", f"there are more than {MAX_WEIGHTS}")
        version = self._store.add_arm(project, question, arm, dict(weights), note[:MAX_NOTE_CHARS], self._now_ns())
        self._remembered.pop(project, None)
        return version

    def choose(self, project: str, question: str, shares: Mapping[int, float]) -> None:
        """
        Let versions answer, each its share of the traces; the rest, or all for none, is the default's.

        Raises:
            BadFilter: a version is not stored, or the shares make no sense.
        """
        known_question("question", question)
        wanted = {version: share for version, share in shares.items() if version != 0}
        if any(not 0 < share <= 1 for share in wanted.values()) or sum(wanted.values()) > 1 + 1e-9:
            raise BadFilter("shares", "each must be over 0, and together they must not be over 1")
        arms = self._store.arms(project, question)
        for version in wanted:
            version_of(arms, question, "shares", version)
        self._store.choose_arms(project, question, wanted)
        self._remembered.pop(project, None)

    def roll_back(self, project: str, question: str) -> int:
        """Choose the version before the newest of those that answer now; gives it, 0 for the default."""
        arms = self._store.arms(project, known_question("question", question))
        newest = max((arm.version for arm in arms if arm.share > 0), default=0)
        before = max((arm.version for arm in arms if arm.version < newest), default=0)
        self.choose(project, question, {before: 1.0})
        return before

    def _arms(self, project: str, question: str) -> list[Arm]:
        read_at_s, arms = self._remembered.get(project, (0.0, []))
        now_s = time.monotonic()
        if not read_at_s or now_s - read_at_s > REMEMBERED_S:
            arms = self._store.arms(project, None)
            if len(self._remembered) >= 1_000:
                self._remembered.clear()
            self._remembered[project] = (now_s, arms)
        return [arm for arm in arms if arm.question == question]


def known_question(field: str, question: str) -> str:
    """
    Give *question*, if it has arms.

    Raises:
        BadFilter: it has none.
    """
    if question not in ARMS:
        raise BadFilter(field, f"{question[:60]!r} is none of {', '.join(ARMS)}")
    return question


def known_arm(field: str, question: str, arm: str) -> str:
    """
    Give *arm*, if the question has it.

    Raises:
        BadFilter: it has not.
    """
    if arm not in ARMS[question]:
        raise BadFilter(field, f"{arm[:60]!r} is none of {', '.join(ARMS[question])}, nor a version's number")
    return arm


def version_of(arms: Sequence[Arm], question: str, field: str, version: int) -> Arm | None:
    """
    Give the stored arm of that version; None for version 0.

    Raises:
        BadFilter: it is not stored.
    """
    found = next((arm for arm in arms if arm.question == question and arm.version == version), None)
    if found is None and version != 0:
        raise BadFilter(field, f"version {version} of {question} is not stored; `clew graph arms ls` lists them")
    return found


def _by_share(arms: Sequence[Arm], question: str, trace_id: str | None) -> Arm | None:
    sharing = sorted((arm for arm in arms if arm.share > 0), key=lambda arm: arm.version)
    if trace_id is None:
        largest = max(sharing, key=lambda arm: arm.share, default=None)
        rest = 1 - sum(arm.share for arm in sharing)
        return largest if largest is not None and largest.share >= rest else None
    place = share_of(question, trace_id)
    for arm in sharing:
        place -= arm.share
        if place < 0:
            return arm
    # Shares of a third each do not add up to quite 1.
    return sharing[-1] if sharing and place < 1e-9 else None


def share_of(question: str, trace_id: str) -> float:
    """Give the place of a trace in the traffic: 0 to under 1, even, and the same everywhere."""
    digest = blake2b(f"{question}:{trace_id.lower()}".encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _use(question: str, arm: Arm | None) -> ChosenArm:
    # An arm that only another version of Clew has cannot answer here; the answer says which did.
    if arm is None or arm.arm not in ARMS[question]:
        return ChosenArm(DEFAULT_ARM[question], 0, None)
    return ChosenArm(arm.arm, arm.version, dict(arm.weights) or None)
