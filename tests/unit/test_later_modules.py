"""`import clew` is enough for the whole public face, and loads none of it before it is named."""

from __future__ import annotations

import subprocess
import sys

import pytest

import clew

MODULES = ["asgi", "events", "langsmith", "logs", "otel", "testing"]


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_clew_alone_loads_none_of_them():
    """A script pays only for what it uses."""
    code = "import clew, sys; print(*(m for m in sys.modules if m.startswith('clew.')))"
    loaded = python(code).split()

    assert "clew.sdk.span" in loaded
    assert not {f"clew.{name}" for name in MODULES} & set(loaded)


def test_import_clew_alone_reaches_all_of_them():
    """`clew.events.subscribe` needs no `import clew.events`."""
    pytest.importorskip("opentelemetry")
    code = f"import clew; print(*(getattr(clew, name).__name__ for name in {MODULES}), clew.events.subscribe.__name__)"

    assert python(code).split() == [*(f"clew.{name}" for name in MODULES), "subscribe"]


def test_a_name_that_is_not_there_is_missing_as_anywhere():
    """`hasattr` and `getattr` with a default are asked by frameworks."""
    assert not hasattr(clew, "no_such_module")
    with pytest.raises(AttributeError, match="module 'clew' has no attribute 'no_such_module'"):
        clew.no_such_module  # noqa: B018


def test_a_star_import_loads_nothing_more():
    """What is optional may not be installed."""
    code = "from clew import *; import sys; print('clew.events' in sys.modules, span.__name__)"

    assert python(code).split() == ["False", "ActiveSpan"]
