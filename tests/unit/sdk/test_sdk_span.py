"""What one span keeps of a step, and that it keeps out of the way."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time

import pytest

import clew
from clew.sdk import span as span_module


def test_times_are_unix_nanoseconds(captured):
    before = time.time_ns()
    with clew.span("step"):
        pass
    after = time.time_ns()

    found = captured["step"]
    assert before - 1_000_000 <= found.start_ns <= found.end_ns <= after + 1_000_000


@pytest.mark.parametrize("jump_s", [-3600, 3600])
def test_a_clock_that_jumps_turns_no_span_around(captured, monkeypatch, jump_s):
    """The wall clock is read once for a trace; everything else is measured from there."""
    with clew.span("request"):
        real = time.time_ns
        monkeypatch.setattr(span_module, "time_ns", lambda: real() + jump_s * 1_000_000_000)
        with clew.span("step"):
            pass

    request, step = captured["request"], captured["step"]
    assert request.start_ns <= step.start_ns <= step.end_ns <= request.end_ns
    assert request.end_ns - request.start_ns < 1_000_000_000


def test_ids_are_w3c_ids(captured):
    with clew.span("step") as span:
        assert span.traceparent == f"00-{span.trace_id}-{span.span_id}-01"
        assert len(span.trace_id) == 32
        assert len(span.span_id) == 16

    assert (captured["step"].trace_id, captured["step"].span_id) == (span.trace_id, span.span_id)


def test_it_keeps_kind_attributes_inputs_and_outputs(captured):
    with clew.span("step", kind="retrieval", inputs={"q": "why"}, top_k=5, user_id="u1") as span:
        span.set(hits=3)
        span.set_attributes({"http.method": "GET"})
        span.outputs = ["a", "b"]

    found = captured["step"]
    assert found.kind == "retrieval"
    assert found.attributes == {"top_k": 5, "user_id": "u1", "hits": 3, "http.method": "GET"}
    assert found.inputs == {"q": "why"}
    assert found.outputs == ["a", "b"]
    assert found.status == "ok"
    assert found.problems == []


def test_attributes_may_have_any_name(captured):
    clew.span("step", **{"name": "n", "self": "s", "a b": 1}).end()

    assert captured["step"].attributes == {"name": "n", "self": "s", "a b": 1}


def test_the_name_may_be_given_by_keyword(captured):
    clew.span(name="step", top_k=1).end()
    with clew.span("outer"):
        clew.span(name="inner").end()

    assert captured["step"].attributes == {"top_k": 1}
    assert captured["inner"].parent_id == captured["outer"].span_id


def test_a_later_append_does_not_rewrite_history(captured):
    """Chat loops append the answer to the very list that they passed in."""
    messages = [{"role": "user"}]
    options = {"a": 1}
    with clew.span("step", inputs=messages) as span:
        messages.append({"role": "assistant"})
        span.outputs = options
        options["b"] = 2

    assert captured["step"].inputs == [{"role": "user"}]
    assert captured["step"].outputs == {"a": 1}


def test_a_list_too_long_to_copy_is_cut_visibly(captured):
    """The copy is made on the caller's thread, whose time has a bound."""
    with clew.span("step", inputs=list(range(20_000))):
        pass

    assert captured["step"].inputs == list(range(10_000))
    assert captured["step"].problems == ["inputs was cut from 20000 to 10000 items"]


def test_an_unknown_kind_becomes_other_and_the_span_says_so(captured, caplog):
    clew.span("one", kind="llm").end()
    clew.span("two", kind="llm").end()
    clew.span("three", kind=["unhashable"]).end()

    assert captured["one"].kind == captured["three"].kind == "other"
    assert captured["one"].problems == ["kind 'llm' is unknown; kept as other"]
    assert caplog.text.count("kind 'llm' is unknown") == 1


def test_a_kind_in_capitals_is_known(captured):
    clew.span("step", kind="RETRIEVAL").end()

    assert captured["step"].kind == "retrieval"
    assert captured["step"].problems == []


def test_the_first_end_counts(captured):
    span = clew.span("step")
    span.end()
    first = captured["step"].end_ns
    span.end()
    with span:
        pass

    assert captured["step"].end_ns == first


def test_what_is_set_after_the_end_is_ignored_and_said_once(captured, caplog):
    span = clew.span("step")
    span.end()
    span.set(late=1)
    span.set(late=2)
    span.outputs = "late"
    span.inputs = "late"
    span.event("late")
    span.fail("late")
    span.record_exception(ValueError("late"))
    span.first_token()

    found = captured["step"]
    assert (found.attributes, found.outputs, found.events, found.status) == ({}, None, [], "ok")
    assert caplog.text.count("set on a span that has ended") == 1
    assert caplog.text.count("outputs on a span that has ended") == 1


def test_events_keep_their_time(captured):
    with clew.span("step") as span:
        span.event("retry", attempt=2)

    found = captured["step"]
    assert found.events[0].name == "retry"
    assert found.events[0].attributes == {"attempt": 2}
    assert found.start_ns <= found.events[0].at_ns <= found.end_ns


def test_fail_gives_the_status_error_without_an_exception(captured):
    with clew.span("step") as span:
        span.fail("no hits")

    assert (captured["step"].status, captured["step"].status_message) == ("error", "no hits")


def test_first_token_is_noted_once(captured):
    with clew.span("step", kind="generation") as span:
        span.first_token()
        first = span._attributes["first_token_ms"]
        span.first_token()

    found = captured["step"]
    assert found.attributes["first_token_ms"] == first
    assert 0 <= first <= (found.end_ns - found.start_ns) / 1e6


def test_an_exception_is_recorded_and_goes_on_as_the_same_object(captured):
    error = ValueError("no such document")
    with pytest.raises(ValueError) as caught, clew.span("step"):
        raise error

    assert caught.value is error
    found = captured["step"]
    assert (found.status, found.status_message) == ("error", "no such document")
    assert found.events[0].name == "exception"
    attributes = found.events[0].attributes
    assert attributes["exception.type"] == "ValueError"
    assert attributes["exception.message"] == "no such document"
    assert attributes["exception.stacktrace"].startswith("Traceback (most recent call last):\n")
    assert "    raise error\n" in attributes["exception.stacktrace"]
    assert attributes["exception.stacktrace"].endswith("ValueError: no such document\n")


def test_the_cause_of_an_exception_is_recorded_with_it(captured):
    with contextlib.suppress(RuntimeError), clew.span("step"):
        try:
            {}["inner"]
        except KeyError as inner:
            raise RuntimeError("outer") from inner

    trace = captured["step"].events[0].attributes["exception.stacktrace"]
    assert "KeyError: 'inner'" in trace
    assert "The above exception was the direct cause" in trace


def test_a_recorded_exception_leaves_the_status_to_the_caller(captured):
    """It was handled; whether the step failed is for the caller to say."""
    with clew.span("step") as span:
        try:
            int("handled")
        except ValueError as error:
            span.record_exception(error)

    assert captured["step"].status == "ok"
    assert captured["step"].events[0].attributes["exception.type"] == "ValueError"


def test_an_exception_is_not_kept_alive(captured):
    """It would keep every frame and local variable that it passed through."""

    class Big:
        alive = 0

        def __init__(self) -> None:
            Big.alive += 1

        def __del__(self) -> None:
            Big.alive -= 1

    def fail() -> None:
        big = Big()  # noqa: F841
        raise ValueError

    with contextlib.suppress(ValueError), clew.span("step"):
        fail()

    assert Big.alive == 0


def test_an_exception_whose_str_raises_is_recorded(captured):
    class Hostile(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    error = Hostile()
    with pytest.raises(Hostile) as caught, clew.span("step"):
        raise error

    assert caught.value is error
    assert "cannot be read" in captured["step"].status_message


async def test_cancellation_is_an_error_and_goes_on(captured):
    async def work() -> None:
        with clew.span("step"):
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert (captured["step"].status, captured["step"].status_message) == ("error", "cancelled")
    assert captured["step"].events == []


@pytest.mark.parametrize("exc", [GeneratorExit(), SystemExit(0), SystemExit()])
def test_an_orderly_way_out_is_no_error(captured, exc):
    with pytest.raises(type(exc)), clew.span("step"):
        raise exc

    assert captured["step"].status == "ok"


@pytest.mark.parametrize("exc", [KeyboardInterrupt(), SystemExit(3)])
def test_another_way_out_is_an_error(captured, exc):
    with pytest.raises(type(exc)) as caught, clew.span("step"):
        raise exc

    assert caught.value is exc
    assert captured["step"].status == "error"


def test_a_full_stack_leaves_the_users_recursion_error_alone(captured):
    def deeper() -> None:
        with clew.span("deep"):
            deeper()

    with pytest.raises(RecursionError), clew.span("request"):
        deeper()

    assert not clew.current_span()
    assert captured["request"].status == "error"


@pytest.mark.parametrize(
    "internal",
    [
        "perf_counter_ns",
        "time_ns",
        "_bits",
        "kept",
        "capture",
        "parent_of",
        "_current",
        "_make_current",
        "_getframe",
        "CURRENT",
        "outbox",
    ],
)
def test_what_fails_inside_of_clew_stays_inside(captured, monkeypatch, internal):
    """Tracing must never raise into user code, nor swallow what the user raised."""

    class Broken:
        def __call__(self, *args: object, **kwargs: object) -> None:
            raise RuntimeError("clew is broken")

        def __getattr__(self, name: str) -> object:
            raise RuntimeError("clew is broken")

    error = ValueError("theirs")

    def work() -> None:
        with clew.span("step", inputs=[1]) as span:
            span.set(a=1)
            span.outputs = [1]
            span.event("e")
            span.record_exception(error)
            span.first_token()
            clew.span("child", parent="x").end()
            raise error

    with clew.span("around"), monkeypatch.context() as patch:
        patch.setattr(span_module, internal, Broken())
        with pytest.raises(ValueError) as caught:
            work()
    assert caught.value is error


def test_nothing_is_recorded_when_disabled(captured):
    clew.configure(enabled=False)
    with clew.span("step", user_id="u") as span:
        span.set(a=1)
        span.outputs = 1
        assert not span
        assert span.trace_id == ""
        assert span.inputs is None
        assert repr(span) == "<no span>"
        span.name = span.kind = "x"
        assert not clew.current_span()

    assert captured.spans == []


def test_reading_back_what_was_set(captured):
    with clew.span("step", kind="tool", inputs=1) as span:
        span.outputs = 2
        assert (span.name, span.kind, span.inputs, span.outputs) == ("step", "tool", 1, 2)
        assert span.parent_id is None
        assert span.trace_id in repr(span)
        span.name = "renamed"
        span.kind = "chain"

    assert captured["renamed"].kind == "chain"


def test_entering_twice_is_harmless(captured):
    with clew.span("step") as span, span:
        pass

    assert not clew.current_span()
    assert len(captured.spans) == 1


def test_importing_clew_does_not_load_what_only_sending_needs():
    """`import clew` stands at the top of programs whose start-up time matters."""
    import subprocess

    code = "import clew, sys; print([m for m in ('msgspec', 'http.client', 'asyncio', 'inspect') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)

    assert done.stdout.strip() == "[]"
