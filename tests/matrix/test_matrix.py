"""The public matrix, Clew's column on this Python: in no way of handing work on is the parent lost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from matrix_patterns import PATTERNS
from matrix_run import judged


@pytest.fixture(scope="session")
def verdicts() -> Any:
    """Every pattern, run once, each in a process of its own."""
    script = str(Path(__file__).with_name("matrix_run.py"))
    done = subprocess.run([sys.executable, script, "clew"], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("way", ["ambient", "explicit"])
@pytest.mark.parametrize("name", PATTERNS)
def test_the_parent_is_kept(verdicts, name, way):
    if verdicts[name][way] == "absent":
        pytest.skip("not on this Python")
    assert verdicts[name][way] == "ok", PATTERNS[name].title


def span(name: str, span_id: str, parent: str | None = None) -> dict[str, Any]:
    return {"name": name, "id": span_id, "parent": parent}


def test_the_matrix_would_see_a_lost_parent():
    """A verdict that cannot be bad says nothing."""
    wanted = {"step": "request"}
    request = span("request", "1")

    assert judged(wanted, [request, span("step", "2", "1")]) == "ok"
    assert judged(wanted, [request]) == "step: lost"
    assert judged(wanted, [request, span("step", "2")]) == "step: under nothing"
    assert judged(wanted, [request, span("step", "2", "7")]) == "step: under nothing"
    assert judged(wanted, [request, span("other", "3", "1"), span("step", "2", "3")]) == "step: under other"
    assert judged(wanted, [request, span("step", "1", "1")]) == "the same id twice"
    assert judged(wanted, [request, span("step", "2", "1"), span("step", "3")]) == "step: under nothing"
