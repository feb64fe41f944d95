"""
Hostile arguments cost no span, no exception, and a bounded piece of work on the caller's thread.

Work is counted and not timed: the calls into the value, and the memory that the caller's thread takes.
"""

import gc
import socket
import threading
import tracemalloc

import pytest
from hostile_values import LARGE, VALUES, Hostile, Lazy, OddText, a_generator, nested

import clew
import clew.events
import clew.langsmith

COPY = 4 << 20
"""The most that the caller's thread may copy of an argument: the top of a list or a dict."""


def _raise(value):
    raise ValueError(value)


@clew.traced
def _traced(first, *more, **named):
    return None


@clew.traced
def _returns(value):
    return value


@clew.traced
def _yields(value):
    yield value


@clew.langsmith.traceable
def _traceable(first, **named):
    return first


def _as_exception(value):
    with pytest.raises(ValueError), clew.span("asked"):
        raise ValueError(value)


def _handled(value):
    with clew.span("asked") as span:
        span.record_exception(value)


def _told(value):
    with clew.events.subscribe(lambda event: None):
        clew.span("asked", kind="tool", inputs=value).end()


def _current(value):
    with clew.tracing_context(value), clew.span("asked"):
        clew.current_span().set(value=value)


def _run(value):
    with clew.langsmith.trace(
        "asked", value, inputs=value, metadata=value, tags=value, parent=value, run_id=value, extra=value
    ) as run:
        run.end(outputs=value)
        run.add_metadata(value)
        run.add_tags(value)
        run.add_event(value)
        run.set(inputs=value, outputs=value)


def _in(span, do):
    with span:
        do(span)


POSITIONS = {
    "name": lambda value: clew.span(value).end(),
    "name as keyword": lambda value: clew.span(name=value).end(),
    "name of a function": lambda value: clew.traced(name=value)(lambda: None)(),
    "kind": lambda value: clew.span("asked", kind=value).end(),
    "kind set later": lambda value: _in(clew.span("asked"), lambda span: setattr(span, "kind", value)),
    "name set later": lambda value: _in(clew.span("asked"), lambda span: setattr(span, "name", value)),
    "parent": lambda value: clew.span("asked", parent=value).end(),
    "parent of a function": lambda value: clew.traced(parent=value)(lambda: None)(),
    "attribute": lambda value: clew.span("asked", thing=value).end(),
    "meaningful attributes": lambda value: clew.span("asked", model=value, input_tokens=value, user_id=value).end(),
    "attribute set": lambda value: _in(clew.span("asked"), lambda span: span.set(thing=value)),
    "attribute within": lambda value: clew.span("asked", thing={"a": [value]}).end(),
    "attributes": lambda value: _in(clew.span("asked"), lambda span: span.set_attributes(value)),
    "attribute key": lambda value: _in(clew.span("asked"), lambda span: span.set_attributes(_keyed(value))),
    "inputs": lambda value: clew.span("asked", inputs=value).end(),
    "outputs": lambda value: _in(clew.span("asked"), lambda span: setattr(span, "outputs", value)),
    "event name": lambda value: _in(clew.span("asked"), lambda span: span.event(value)),
    "event attribute": lambda value: _in(clew.span("asked"), lambda span: span.event("e", thing=value)),
    "reason": lambda value: _in(clew.span("asked"), lambda span: span.fail(value)),
    "exception recorded": _handled,
    "exception argument": _as_exception,
    "time": lambda value: _in(clew.span("asked"), lambda span: span.end_at(value)),
    "arguments": lambda value: _traced(value, value, named=value),
    "result": lambda value: _returns(value),  # noqa: PLW0108  defined below
    "item": lambda value: list(_yields(value)),
    "score name": lambda value: clew.score(value, 1, trace_id="ab" * 16),
    "score value": lambda value: clew.score("rating", value, trace_id="ab" * 16),
    "score best": lambda value: clew.score("rating", 1, best=value, trace_id="ab" * 16),
    "score trace": lambda value: clew.score("rating", 1, trace_id=value),
    "score span": lambda value: clew.score("rating", 1, span=value),
    "score texts": lambda value: clew.score("r", 1, comment=value, label=value, source=value, trace_id="ab" * 16),
    "event told": _told,
    "ambient parent": _current,
    "langsmith run": _run,
    "langsmith function": lambda value: _traceable(value, named=value),
    "langsmith extra": lambda value: _traceable(1, langsmith_extra=value),
    "langsmith parent": lambda value: _traceable(1, langsmith_extra={"parent": value}),
}


def _keyed(value):
    try:
        return {value: 1}
    except (TypeError, RuntimeError):
        return {"not hashable": value}


def _calls(position, value):
    try:
        POSITIONS[position](value)
    except (TypeError, RuntimeError) as error:
        # The library's own refusal, where Clew has no hand in it.
        frames = []
        traceback = error.__traceback__
        while traceback is not None:
            frames.append(traceback.tb_frame.f_code.co_filename)
            traceback = traceback.tb_next
        assert "/clew/" not in frames[-1], error  # noqa: PT017  it goes on
        raise


@pytest.mark.parametrize("position", POSITIONS)
def test_nothing_hostile_raises_or_costs_the_span(captured, position):
    """Whatever stands in whichever position of whichever public function; what comes after is whole."""
    for name, make in VALUES.items():
        with clew.span(f"around {name}"):
            _calls(position, make())
    ended = [span.name for span in captured.spans]
    assert [name for name in VALUES if ended.count(f"around {name}") != 1] == []
    if "score" not in position:
        assert len(ended) >= 2 * len(VALUES) - 1, "the span itself is delivered, too"
    assert clew.flush(), "nothing was lost"


def test_a_caller_asks_a_hostile_value_nothing(captured):
    """Not to be shown, compared, hashed, measured or iterated: that is the user's code, and may take for ever."""
    Hostile.asked = 0
    with clew.span("step", inputs=[Hostile()], thing=Hostile()) as span:
        span.set(other=Hostile())
        span.outputs = {"deep": Hostile()}
        span.event("e", thing=Hostile())
        _traced(Hostile(), named=Hostile())
        asked = Hostile.asked
    assert asked == 0
    assert len(captured.spans) == 2
    assert "unreadable" in str(captured["step"].attributes["thing"])


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: "x" * LARGE, id="100 MB of text"),
        pytest.param(lambda: b"x" * LARGE, id="100 MB of bytes"),
        pytest.param(lambda: ["x" * (LARGE // 100)] * 100, id="100 long texts"),
        pytest.param(lambda: dict.fromkeys(range(1_000_000)), id="a million keys"),
        pytest.param(lambda: list(range(1_000_000)), id="a million items"),
        pytest.param(nested, id="depth 100,000"),
    ],
)
def test_a_caller_copies_little_of_a_huge_value(untouched, make):
    """A copy of it would double the memory of the program, at the worst of times."""
    from clew.testing import capture

    value = make()
    with capture() as spans:
        gc.collect()
        tracemalloc.start()
        try:
            with clew.span("step", inputs=value, thing=value) as span:
                span.outputs = value
                span.set(other=value)
                span.event("e", thing=value)
                _traced(value, named=value)
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert most < COPY
        assert len(spans) == 2
        shown = str(spans["step"].inputs)
        assert spans["step"].problems or "bytes" in shown, "what was cut is said"
        assert len(str(spans["step"].inputs)) < 5 << 20


def test_attributes_by_the_million_are_bounded_where_they_are_sent(untouched):
    from clew.testing import capture

    with capture() as spans, clew.span("step") as span:
        span.set_attributes({f"key {number}": number for number in range(1_000_000)})
    assert len(spans["step"].attributes) <= 10_000
    assert any("1000000" in problem for problem in spans["step"].problems)


def test_a_generator_is_not_consumed(captured):
    """What is traced is the user's, and is still to be read."""
    given = a_generator()
    with clew.span("step", inputs=given, thing=[given]) as span:
        span.outputs = given
    assert _traceable(given) is given
    assert captured["step"].inputs.startswith("<generator")
    assert list(given) == [0, 1, 2]


def test_an_array_that_is_computed_when_looked_at_is_not_computed(captured):
    Lazy.computed = 0
    clew.span("step", inputs=Lazy(), thing=Lazy()).end()
    assert captured["step"].inputs == "<lazy>"
    assert Lazy.computed == 0


def test_a_lock_is_neither_taken_nor_let_go(captured):
    lock = threading.Lock()
    with lock, clew.span("step", inputs=lock, thing=lock):
        pass
    assert not lock.locked()
    assert "lock" in captured["step"].inputs


def test_a_socket_stays_open_and_is_shown(captured):
    with socket.socket() as given, clew.span("step", inputs=given):
        assert given.fileno() >= 0
    assert "socket" in captured["step"].inputs


def test_what_cannot_be_pickled_may_be_an_argument(captured):
    """The caller copies nothing deeply, so `__reduce__` is never asked."""

    class NotCopied:
        def __reduce_ex__(self, protocol):
            raise RuntimeError("no")

    clew.span("step", inputs=NotCopied()).end()
    assert "NotCopied" in captured["step"].inputs


def test_odd_text_is_kept_as_the_text_that_it_is(captured):
    clew.span(OddText("step"), thing=OddText("text")).end()
    assert captured["step"].attributes == {"thing": "text"}


def test_a_hostile_name_is_shown_as_what_it_is(captured):
    clew.span(Hostile()).end()
    assert "Hostile" in captured.spans[0].name
