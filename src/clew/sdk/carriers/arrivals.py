"""
Do something to a module once it is there: now if it is loaded, else right after it is imported.

So nothing is imported on behalf of a program that may never need it: multiprocessing, uvloop.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from threading import local
from types import ModuleType
from typing import Any, Final

from clew.sdk.outbox import outbox

Teach = Callable[[Any], object]

_waiting: Final[dict[str, list[Teach]]] = {}
_asking: Final = local()


def when_loaded(name: str, teach: Teach) -> None:
    """Call *teach* with the module *name*, once. What it raises is complained of and stays here."""
    if name in sys.modules:
        _call(teach, sys.modules[name])
        return
    _waiting.setdefault(name, []).append(teach)
    if _watcher not in sys.meta_path:
        sys.meta_path.insert(0, _watcher)


class _Watcher:
    """A finder that finds what the others find, and has the module told of when it has run."""

    def find_spec(self, name: str, _path: Sequence[str] | None = None, _target: Any = None) -> ModuleSpec | None:
        """Give the spec of a module that is waited for; None for all others, which costs one look."""
        if name not in _waiting or getattr(_asking, "now", False):
            return None
        _asking.now = True
        try:
            spec = find_spec(name)
        finally:
            _asking.now = False
        if spec is not None and spec.loader is not None:
            _tell_after(spec.loader)
        return spec


def _tell_after(loader: Any) -> None:
    run = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        run(module)
        for teach in _waiting.pop(module.__name__, ()):
            _call(teach, module)

    try:
        loader.exec_module = exec_module
    except AttributeError as error:
        outbox.complain("arrival", f"a module's loader cannot be watched: {error!r:.200}")


def _call(teach: Teach, module: Any) -> None:
    try:
        teach(module)
    except Exception as error:
        name = getattr(module, "__name__", module)
        outbox.complain(f"carrier:{name}", f"{name} does not carry the current span: {error!r:.200}")


_watcher: Final = _Watcher()
