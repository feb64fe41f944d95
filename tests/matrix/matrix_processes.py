"""Handing work on to other processes."""

from __future__ import annotations

import asyncio
import functools
import json
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from matrix_register import PATTERNS, Parents, Pattern, leaf, pattern
from matrix_subjects import SUBJECTS, Subject


def away(subject: str, explicit: bool, name: str, carrier: Any) -> None:
    """A span in another process. What was forked has its SDK already; any other sets it up."""
    s = _here.get(subject)
    if s is None:
        s = _here[subject] = SUBJECTS[subject](explicit=explicit)
    with s.away(name, carrier):
        pass
    s.flush()


_here: dict[str, Subject] = {}
"""The subject of this process, by name."""


def named(s: Subject) -> str:
    name = next(name for name, made in SUBJECTS.items() if type(s) is made)
    _here[name] = s
    return name


def _process(s: Subject, method: str) -> Parents:
    context = multiprocessing.get_context(method)
    with s.span("request"):
        process = context.Process(target=away, args=(named(s), s.explicit, "step", s.carrier()))
        process.start()  # type: ignore[attr-defined]
        process.join()  # type: ignore[attr-defined]
    return {"step": "request"}


def _process_pool(s: Subject, method: str) -> Parents:
    name = named(s)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool:
        for number in (1, 2):
            with s.span(f"request {number}"):
                pool.submit(away, name, s.explicit, f"step {number}", s.carrier()).result()
    return {"step 1": "request 1", "step 2": "request 2"}


def _multiprocessing_pool(s: Subject, method: str) -> Parents:
    name = named(s)
    with multiprocessing.get_context(method).Pool(1) as pool:
        for number in (1, 2):
            with s.span(f"request {number}"):
                pool.apply(away, (name, s.explicit, f"applied {number}", s.carrier()))
                pool.starmap(away, [(name, s.explicit, f"mapped {number}", s.carrier())])
    return {f"{what} {n}": f"request {n}" for what in ("applied", "mapped") for n in (1, 2)}


def _register_processes() -> None:
    for method in ("fork", "spawn", "forkserver"):
        for name, title, run in (
            ("process", "multiprocessing.Process", _process),
            ("process_pool", "ProcessPoolExecutor", _process_pool),
            ("multiprocessing_pool", "multiprocessing.Pool", _multiprocessing_pool),
        ):
            PATTERNS[f"{name}_{method}"] = Pattern(
                f"{title}, {method}", "processes", functools.partial(run, method=method), lambda: True
            )


_register_processes()


@pattern("run_in_executor, with a ProcessPoolExecutor", "processes")
async def process_pool_of_the_loop(s: Subject) -> Parents:
    loop, name = asyncio.get_running_loop(), named(s)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool, s.span("request"):
        await loop.run_in_executor(pool, away, name, s.explicit, "step", s.carrier())
    return {"step": "request"}


@pattern("os.fork in mid-span", "processes")
def forked(s: Subject) -> Parents:
    with s.span("request"):
        parent = s.handle()
        pid = os.fork()
        if pid == 0:
            with s.step("step", parent):
                leaf(s, "inner", s.handle())
            s.flush()
            os._exit(0)
        os.waitpid(pid, 0)
        leaf(s, "after", parent)
    return {"step": "request", "inner": "step", "after": "request"}


@pattern("subprocess, by the environment", "processes")
def by_environment(s: Subject) -> Parents:
    with s.span("request"):
        subprocess.run(_command(s), check=True)
    return {"step": "request"}


@pattern("asyncio.create_subprocess_exec, by the environment", "processes")
async def by_environment_async(s: Subject) -> Parents:
    with s.span("request"):
        process = await asyncio.create_subprocess_exec(*_command(s))
        await process.wait()
    return {"step": "request"}


def _command(s: Subject) -> list[str]:
    code = "import json, sys; sys.path.insert(0, sys.argv[1]); "
    code += "import matrix_processes; matrix_processes.away(*json.loads(sys.argv[2]))"
    here = os.path.dirname(__file__)
    return [sys.executable, "-c", code, here, json.dumps([named(s), s.explicit, "step", s.carrier()])]
