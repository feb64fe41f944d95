"""`clew retention`: what is too old goes now, or is only told. On the store itself."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from clew import config
from clew.cli.out import JsonOption, errors, out, print_json
from clew.cli.text import one_line
from clew.jobs.learn import LearnJob
from clew.jobs.retention import Done, Round, summed
from clew.jobs.retention_plan import Planned, plan
from clew.store import open_store
from clew.store.protocol import Policy, Store

MOST_ROUNDS = 10
"""A round measures the store once; what is too large after it goes in the next."""


def retention(
    *,
    store: Annotated[str | None, typer.Option("--store", help="The store; CLEW_STORE if not given.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and drop nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Drop what CLEW_RETENTION and its neighbours say, now, and give the space back."""
    policy = Policy.read()
    url = config.STORE.read() if store is None else store
    with closing(open_store(url, read_only=dry_run, text_search=config.TEXT_SEARCH.read())) as opened:
        if dry_run:
            _tell_plan(plan(opened, policy, now_ns=time.time_ns()), policy, as_json=as_json)
        else:
            _tell(run(opened, policy, learns=config.LEARN.read()), opened, as_json=as_json)


def _plan_body(planned: list[Planned]) -> dict[str, Any]:
    totals = {name: sum(getattr(each, name) for each in planned) for name in ("traces", "spans", "bytes", "waiting")}
    return {"would_go": totals, "by_rule": [each._asdict() for each in planned]}


def _done_body(done: Done, store: Store) -> dict[str, Any]:
    return {
        "expired": done.expired._asdict(),
        "crowded_out": done.crowded_out._asdict(),
        "waiting": done.waiting,
        "histograms": done.metrics,
        "suggestions": done.suggestions,
        "used_bytes": store.used_bytes(),
    }


def run(store: Store, policy: Policy, *, learns: bool) -> Done:
    """Do rounds until nothing goes any more. What is still to be learned is learned first."""
    done = Done()
    if learns:
        learner = LearnJob(store)
        while learner.learn_once():
            pass
    for _ in range(MOST_ROUNDS):
        this = Round(store, policy, now_ns=time.time_ns(), learned_only=learns, spare=False)
        for _step in this.steps():
            pass
        done = summed(done, this.done)
        if not (this.done.expired.traces or this.done.crowded_out.traces):
            break
    return done


def _tell(done: Done, store: Store, *, as_json: bool) -> None:
    if as_json:
        print_json(_done_body(done, store))
        return
    told = f"{done.expired.traces:,} traces ({done.expired.spans:,} spans) were too old"
    if done.crowded_out.traces:
        told += (
            f", {done.crowded_out.traces:,} ({done.crowded_out.spans:,} spans) one too many for CLEW_RETENTION_BYTES"
        )
    told += f"; {done.metrics:,} histograms and {done.suggestions:,} suggestions went"
    told += f"; {_size(store.used_bytes())} are in use"
    errors().print(told, markup=False, soft_wrap=True)
    if done.waiting:
        errors().print(f"{done.waiting:,} traces stay until they are learned", style="yellow", markup=False)


def _tell_plan(planned: list[Planned], policy: Policy, *, as_json: bool) -> None:
    if as_json:
        print_json(_plan_body(planned))
        return
    if not policy.drops_by_age and policy.most_bytes is None:
        errors().print("traces are kept for ever; set CLEW_RETENTION, such as 30d", markup=False)
        return
    if planned:
        out().print(_plan_table(planned))
    traces, size = sum(each.traces for each in planned), sum(each.bytes for each in planned)
    errors().print(f"{traces:,} traces would go, about {_size(size)}", markup=False)


def _plan_table(planned: list[Planned]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bright_black", padding=(0, 2, 0, 0))
    for column in ("project", "rule"):
        table.add_column(column, no_wrap=True)
    for column in ("traces", "spans", "about", "to be learned first"):
        table.add_column(column, no_wrap=True, justify="right")
    for each in planned:
        counts = (f"{each.traces:,}", f"{each.spans:,}", _size(each.bytes), f"{each.waiting:,}" if each.waiting else "")
        table.add_row(Text(one_line(each.project, 40)), Text(one_line(each.rule, 60)), *counts)
    return table


def _size(count: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1_000:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1_000
    return f"{count:,.1f} TB"
