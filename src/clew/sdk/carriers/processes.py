"""
Processes carry the current span: multiprocessing's, and whatever `subprocess` starts.

A forked child has its parent's context as it is. One that is spawned finds the span's ids in what
it unpickles; any other program finds them in its environment, as TRACEPARENT, and a program that
imports Clew takes its parent from there. An environment that names TRACEPARENT itself is left alone.
"""

from __future__ import annotations

import os
from functools import wraps
from typing import Any, Final

from clew.sdk.ambient import CURRENT, TRACEPARENT, current, remote, traceparent_of
from clew.sdk.carriers.arrivals import when_loaded
from clew.sdk.carriers.executors import carrying, with_none_current
from clew.sdk.faults import internal

ENV_POSITION: Final = 10
"""Where `env` stands among the arguments of `subprocess.Popen`."""

_installed = False


class Handed:
    """A span on its way into a process that is being spawned."""

    __slots__ = ("span",)

    def __init__(self, span: Any) -> None:
        self.span = span

    def __reduce__(self) -> Any:
        return adopt, (remote(self.span),)


def adopt(parent: Any) -> None:
    """Make *parent* current from now on, in a process that has just begun."""
    CURRENT.set(parent)


def install() -> None:
    """Teach `multiprocessing`, `subprocess` and uvloop. Does nothing the second time."""
    global _installed  # noqa: PLW0603  a patch is one for the process
    if _installed:
        return
    _installed = True
    when_loaded("multiprocessing.process", lambda module: _teach_process(module.BaseProcess))
    when_loaded("multiprocessing.pool", lambda module: _teach_pool(module.Pool))
    when_loaded("subprocess", lambda module: _teach_popen(module.Popen))
    when_loaded("uvloop", lambda module: _teach_loop(module.Loop))


def with_traceparent(env: Any) -> Any:
    """Give the environment for a child: *env*, or this process's own if it is None, and TRACEPARENT."""
    span = current()
    if span is None or not span._trace:
        return env
    if env is None:
        env = os.environ
    else:
        named = env.get(TRACEPARENT, env.get(TRACEPARENT.encode()))
        # Copied from this process's own environment it is out of date; any other was meant.
        if named is not None and named != os.environ.get(TRACEPARENT):
            return env
    return {**env, TRACEPARENT: traceparent_of(span._trace, span._span)}


def _teach_process(process: Any) -> None:
    start = process.start

    @wraps(start)
    def start_carrying(self: Any) -> Any:
        try:
            span = current()
            if span is not None:
                self._clew_parent = Handed(span)
        except Exception as fault:
            internal(fault)
        try:
            return start(self)
        finally:
            try:
                self.__dict__.pop("_clew_parent", None)
            except Exception as fault:
                internal(fault)

    process.start = start_carrying


def _teach_pool(pool: Any) -> None:
    """The workers belong to no span, and each task to the span that it was handed over under."""
    begin = pool.__init__

    @wraps(begin)
    def begin_under_no_span(self: Any, *args: Any, **kwargs: Any) -> None:
        with_none_current(lambda: begin(self, *args, **kwargs))

    pool.__init__ = begin_under_no_span
    for name in ("apply_async", "_map_async", "imap", "imap_unordered"):
        _teach_method(pool, name)


def _teach_method(pool: Any, name: str) -> None:
    method = getattr(pool, name)

    @wraps(method)
    def method_carrying(self: Any, func: Any, *args: Any, **kwargs: Any) -> Any:
        carried = func
        try:
            carried = carrying(func)
        except Exception as fault:
            internal(fault)
        return method(self, carried, *args, **kwargs)

    setattr(pool, name, method_carrying)


def _teach_popen(popen: Any) -> None:
    begin = popen.__init__

    @wraps(begin)
    def begin_carrying(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            if len(args) > ENV_POSITION:
                env = with_traceparent(args[ENV_POSITION])
                args = (*args[:ENV_POSITION], env, *args[ENV_POSITION + 1 :])
            else:
                kwargs["env"] = with_traceparent(kwargs.get("env"))
        except Exception:  # noqa: S110  what is no mapping is left to those who will refuse it
            pass
        begin(self, *args, **kwargs)

    popen.__init__ = begin_carrying


def _teach_loop(loop: Any) -> None:
    """Its loop starts processes itself; asyncio's own loops use `subprocess.Popen`."""
    for name in ("subprocess_exec", "subprocess_shell"):
        _teach_subprocess(loop, name)


def _teach_subprocess(loop: Any, name: str) -> None:
    method = getattr(loop, name)

    @wraps(method)
    async def method_carrying(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:  # noqa: SIM105  as above
            kwargs["env"] = with_traceparent(kwargs.get("env"))
        except Exception:  # noqa: S110  as above
            pass
        return await method(self, *args, **kwargs)

    setattr(loop, name, method_carrying)
