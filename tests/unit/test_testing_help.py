"""The help for users' tests: what ended is there as a tree, and nothing else is touched."""

import asyncio
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import clew
from clew.sdk import setup
from clew.sdk.outbox import outbox
from clew.testing import CapturedSpans, NoSuchSpan, capture


def answer() -> None:
    with clew.span("chat_generation", kind="root", inputs={"question": "why"}, user_id="ana"):
        with clew.span("get_rag_context", kind="chain"), clew.span("search", kind="retrieval"):
            pass
        with clew.span("ChatOpenAI", kind="generation", model="gpt-5-mini") as span:
            span.outputs = "because"


def test_what_ended_is_there_as_a_tree(untouched):
    with capture() as spans:
        answer()
        assert spans.tree() == {"chat_generation": {"get_rag_context": {"search": {}}, "ChatOpenAI": {}}}

    assert [root.name for root in spans.roots] == ["chat_generation"]
    assert spans["ChatOpenAI"].attributes == {"model": "gpt-5-mini"}
    assert spans["ChatOpenAI"].outputs == "because"
    assert spans["search"].parent is spans["get_rag_context"]
    assert spans["search"].root is spans.roots[0]
    assert [child.name for child in spans.roots[0].children] == ["get_rag_context", "ChatOpenAI"]
    assert spans["chat_generation"].inputs == {"question": "why"}
    assert len(spans) == 4
    assert "search" in spans
    assert "nothing" not in spans


def test_children_that_end_after_their_parent_are_found(untouched):
    """A late task ends when its parent is packed already."""
    with capture() as spans:
        with clew.span("request") as request:
            late = clew.span("late")
        assert spans.tree() == {"request": {}}
        late.end()
    assert spans.tree() == {"request": {"late": {}}}
    assert spans["late"].parent_id == request.span_id


def test_siblings_that_share_a_name_are_counted(untouched):
    """A dict holds each name once, and a test that sees one retry of three is no test."""
    with capture() as spans, clew.span("request"):
        for _ in range(3):
            clew.span("try").end()
    assert spans.tree() == {"request": {"try": {}, "try #2": {}, "try #3": {}}}
    assert len(spans.named("try")) == 3
    with pytest.raises(NoSuchSpan, match=r"3 spans are called 'try'.*spans\.named"):
        spans["try"]


def test_a_failed_lookup_shows_the_tree_and_what_was_meant(untouched):
    with capture() as spans, pytest.raises(ValueError, match="quota"), clew.span("ChatOpenAI", kind="generation"):
        raise ValueError("quota")
    with pytest.raises(NoSuchSpan) as raised:
        spans["ChatOpenAi"]
    assert "did you mean 'ChatOpenAI'?" in str(raised.value)
    assert "ChatOpenAI (generation)  error: quota" in str(raised.value)


def test_it_is_drawn_a_line_a_span(untouched):
    with capture() as spans:
        answer()
    assert spans.draw() == (
        "chat_generation (root)\n├─ get_rag_context (chain)\n│  └─ search (retrieval)\n└─ ChatOpenAI (generation)"
    )
    assert spans["get_rag_context"].draw() == "get_rag_context (chain)\n└─ search (retrieval)"


def test_threads_pools_and_tasks_are_captured(untouched):
    def work(name):
        clew.span(name).end()

    async def serve():
        with clew.span("async"):
            await asyncio.gather(asyncio.to_thread(work, "to_thread"), _in_a_task())

    async def _in_a_task():
        clew.span("task").end()

    with capture() as spans:
        with clew.span("request"), ThreadPoolExecutor(1) as pool:
            pool.submit(work, "pool").result()
            thread = threading.Thread(target=work, args=("thread",))
            thread.start()
            thread.join()
        asyncio.run(serve())

    assert spans.tree()["request"] == {"pool": {}, "thread": {}}
    assert spans.tree()["async"].keys() == {"to_thread", "task"}


def test_an_error_and_an_exception_are_shown(untouched):
    with capture() as spans, pytest.raises(ValueError, match="no"), clew.span("step"):
        raise ValueError("no")
    assert spans["step"].error == "no"
    assert spans["step"].status == "error"
    assert spans["step"].events[0].attributes["exception.type"] == "ValueError"


def test_scores_are_captured(untouched):
    with capture() as spans, clew.span("request") as request:
        clew.score("rating", 1)
    assert [(score.name, score.trace_id) for score in spans.scores] == [("rating", request.trace_id)]


def test_spans_that_nobody_ended_are_found(untouched):
    """They are never sent, so a test that looks only at what was captured does not miss them."""
    before = clew.span("before")
    with capture() as spans:
        with clew.span("request"):
            assert [span.name for span in spans.open] == ["request"]
            forgotten = clew.span("forgotten")
        assert spans.open == [forgotten]
    after = clew.span("after")
    assert spans.open == [forgotten]
    assert (before.name, after.name) == ("before", "after")
    forgotten.end()
    assert spans.open == []
    assert CapturedSpans().open == []


def test_a_span_that_was_dropped_without_an_end_leaves_orphans(untouched):
    with capture() as spans, clew.span("dropped") as dropped:
        clew.span("child", parent=dropped).end()
        assert [root.name for root in spans.roots if root.parent_id] == ["child"]


def test_what_was_configured_before_is_undisturbed(captured):
    """Also what waits for it, and what comes after."""
    clew.span("before").end()
    writer = setup._writer
    with capture() as spans:
        clew.span("inside").end()
    clew.span("after").end()

    assert spans.tree() == {"inside": {}}
    assert captured.tree() == {"before": {}, "after": {}}
    assert setup._writer is writer


def test_without_any_configuration_there_is_none_afterwards(untouched):
    with capture():
        clew.span("inside").end()
    assert (outbox.settled, outbox.recording, setup._writer) == (False, False, None)


def test_an_exception_restores_what_was_there(captured):
    with pytest.raises(ZeroDivisionError), capture():
        raise ZeroDivisionError
    clew.span("after").end()
    assert captured.tree() == {"after": {}}


def test_the_innermost_captures(untouched):
    with capture() as outer:
        clew.span("one").end()
        with capture() as inner:
            clew.span("two").end()
        clew.span("three").end()
    assert (outer.tree(), inner.tree()) == ({"one": {}, "three": {}}, {"two": {}})


def test_a_configure_inside_stays_captured(untouched):
    """Applications configure themselves when they start, which in a test is inside."""
    with capture() as spans:
        clew.configure("http://127.0.0.1:1", mode="product", sample_rate=0.0)
        clew.span("configured").end()
        clew.configure(enabled=False)
        clew.span("disabled").end()
        clew.shutdown()
        clew.span("shut down").end()
        assert clew.flush()
    assert [span.name for span in spans] == ["configured", "disabled", "shut down"]
    assert setup._writer is None


def test_a_wrong_configure_inside_raises_as_ever(untouched):
    with capture(), pytest.raises(clew.errors.ConfigError):
        clew.configure("nonsense")


def test_tracing_that_the_environment_switched_off_is_captured(untouched, monkeypatch):
    monkeypatch.setenv("CLEW_ENABLED", "0")
    with capture() as spans:
        clew.span("inside").end()
    assert "inside" in spans


def test_payloads_are_as_they_would_be_sent(untouched):
    """So a test can see that a key does not leave, and what was cut."""

    def without_question(payload):
        payload["inputs"] = "not kept"
        return payload

    with capture() as spans:
        clew.configure("http://127.0.0.1:1", processors=[without_question])
        clew.span("step", inputs="a question", thing={1}).end()
    assert spans["step"].inputs == "not kept"
    assert spans["step"].attributes == {"thing": [1]}


def test_a_value_that_makes_spans_when_it_is_read_is_captured_too(untouched):
    class Chatty:
        def __repr__(self):
            clew.span("inside of a repr").end()
            return "chatty"

    with capture() as spans:
        clew.span("step", thing=Chatty()).end()
    assert {span.name for span in spans} == {"step", "inside of a repr"}


def test_many_spans_are_all_there(untouched):
    """The queue's bound is for programs that run for months."""
    with capture() as spans:
        for _ in range(3_000):
            clew.span("step").end()
    assert len(spans) == 3_000


def test_what_was_captured_can_be_forgotten(untouched):
    with capture() as spans:
        clew.span("warming up").end()
        spans.clear()
        clew.span("step").end()
    assert spans.tree() == {"step": {}}


def test_nothing_is_left_running(untouched):
    before = threading.active_count()
    with capture() as spans:
        clew.span("step").end()
        assert len(spans) == 1
        assert threading.active_count() == before


PROJECT = """
import clew

def test_it(clew_spans):
    with clew.span("request"):
        pass
    assert clew_spans.tree() == {"request": {}}

def test_it_begins_empty(clew_spans):
    assert clew_spans.tree() == {}

def test_a_wrong_name_shows_the_tree(clew_spans):
    clew.span("request").end()
    clew_spans["requests"]
"""


def test_pytest_has_a_fixture(tmp_path):
    """As in a user's project; the plugin is named here since this checkout may not be installed."""
    (tmp_path / "test_project.py").write_text(PROJECT)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "clew.testing.pytest_plugin", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        [*command, str(tmp_path)], capture_output=True, text=True, env=environment, cwd=tmp_path, check=False
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    assert "did you mean 'request'?" in done.stdout


def test_importing_the_plugin_loads_nothing_of_clew():
    """It is loaded in every run of pytest, also in those that trace nothing."""
    code = (
        "import pytest, sys; before = set(sys.modules); import _clew_pytest; "
        "new = set(sys.modules) - before; assert new == {'_clew_pytest'}, new"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_capture_needs_msgspec_alone():
    """The store's contract needs pytest, hypothesis and the server; users' tests need none of it."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['pytest', 'hypothesis', 'apsw', 'fastapi']));"
        "import clew, clew.testing\n"
        "with clew.testing.capture() as spans: clew.span('step').end()\n"
        "assert spans.tree() == {'step': {}}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_empty_capture_says_so():
    assert CapturedSpans().draw() == "(no span has ended)"
    with pytest.raises(NoSuchSpan, match="no span has ended"):
        CapturedSpans()["step"]
