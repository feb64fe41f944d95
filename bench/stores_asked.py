"""The questions that a store is asked, with other values each time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bench.bodies import MODELS, SESSIONS, USERS, Writer
from clew.model import Flag
from clew.store import Store
from clew.store.protocol import TraceFilter

if TYPE_CHECKING:
    from bench.stores import Batches

WEEK_NS = 7 * 86_400 * 10**9
TEMPLATES, TRACES_PER_BATCH = 16, 100


def ask_all(store: Store, batches: Batches, taken_s: dict[str, list[float]], asks: int, *, text: bool) -> None:
    """Ask each question *asks* times; the seconds go into *taken_s*."""
    for name, ask in questions(store, batches, text=text).items():
        taken = taken_s.setdefault(name, [])
        for _ in range(asks):
            begun = time.perf_counter()
            ask()
            taken.append(time.perf_counter() - begun)


def questions(store: Store, batches: Batches, *, text: bool) -> dict[str, Callable[[], Any]]:
    """Each question by its name."""
    draw = random.Random(5)
    now_ns = time.time_ns()
    stored = batches.made

    def page(**where: Any) -> Any:
        return store.list_traces("default", TraceFilter(**where), limit=50)

    def percentiles(*group_by: str) -> Any:
        return store.latency("default", since_ns=now_ns - WEEK_NS, until_ns=now_ns, group_by=group_by)

    asked: dict[str, Callable[[], Any]] = {
        "one trace": lambda: store.trace("default", batches.an_id(draw, below=stored)),
        "newest 50": page,
        "newest 50 of a user": lambda: page(user_id=f"user-{draw.randrange(USERS):04d}"),
        "newest 50 of nobody": lambda: page(user_id="nobody"),
        "newest 50 of a session": lambda: page(session_id=f"s-{draw.randrange(SESSIONS):05d}"),
        "newest 50 that failed": lambda: page(status="error"),
        "newest 50 empty": lambda: page(flag=Flag.EMPTY),
        "newest 50 of a model": lambda: page(model=draw.choice(MODELS)),
        "newest 50 of no model": lambda: page(model="none"),
        "newest 50 of no kind": lambda: page(kind="guardrail"),
        "newest 50 that took over an hour": lambda: page(min_duration_ns=3_600 * 10**9),
        "50 of some day": lambda: page(to_ns=now_ns - draw.randrange(WEEK_NS)),
        "percentiles, 7 days": lambda: percentiles("kind"),
        "percentiles, 7 days, by name and model": lambda: percentiles("kind", "name", "model"),
    }
    return asked | (_searches(page, draw) if text else {})


def _searches(page: Callable[..., Any], draw: random.Random) -> dict[str, Callable[[], Any]]:
    words = Writer(0).words

    def tag() -> str:
        """A word of one trace in sixteen hundred."""
        return f"zq{draw.randrange(TEMPLATES):03d}x{draw.randrange(TRACES_PER_BATCH):03d}"

    return {
        "full text": lambda: page(text=draw.choice(words)),
        "full text, two words": lambda: page(text=" ".join(draw.sample(words, 2))),
        "full text, rare": lambda: page(text=tag()),
        "full text, two rare": lambda: page(text=f"{tag()} {tag()}"),
        "full text, none": lambda: page(text="nosuchword"),
    }
