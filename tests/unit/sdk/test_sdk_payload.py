"""Whatever is put into a span: the program goes on, the span arrives, and what was changed is said."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import pathlib
import sys
import threading
import uuid
from collections import OrderedDict, deque

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import clew
from clew.sdk.packing import MAX_SPAN_BYTES


class Colour(enum.Enum):
    RED = "red"


class Text(str):
    __slots__ = ()


@dataclasses.dataclass
class Hit:
    doc: str
    score: float


class Stubborn:
    def __init__(self, error: type[BaseException] = RuntimeError) -> None:
        self.error = error

    def __repr__(self) -> str:
        raise self.error


def cycle() -> list:
    found: list = []
    found.append({"again": found})
    return found


def deep(levels: int) -> list:
    found: list = []
    for _ in range(levels):
        found = [found]
    return found


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (None, None),
        (True, True),
        (2**63 - 1, 2**63 - 1),
        (0.5, 0.5),
        ("text", "text"),
        ([1, ("a", None)], [1, ["a", None]]),
        ({"a": {1: 2, 1.5: 3}}, {"a": {"1": 2, "1.5": 3}}),
        ({None: 1, (1, 2): 3}, {"None": 1, "[1, 2]": 3}),
        (OrderedDict(a=1), {"a": 1}),
        (deque([1, 2]), [1, 2]),
        ({7}, [7]),
        (Colour.RED, "red"),
        (Text("sub"), "sub"),
        (Hit("d1", 0.5), {"doc": "d1", "score": 0.5}),
        ([Text("x"), Hit("d1", 0.5), Colour.RED], ["x", {"doc": "d1", "score": 0.5}, "red"]),
        (datetime.date(2026, 11, 21), "2026-11-21"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (decimal.Decimal("1.10"), "1.10"),
        (pathlib.PurePosixPath("/a/b"), "/a/b"),
        (b"abc", "YWJj"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_usual_values_are_kept_as_plain_ones(captured, value, kept):
    with clew.span("step", attribute=value) as span:
        span.outputs = value

    assert captured["step"].attributes == {"attribute": kept}
    assert captured["step"].outputs == kept


def test_numpy_values_are_numbers_and_lists(captured):
    """A retriever's score is a float32, and shows as a number, or no filter finds it."""
    numpy = pytest.importorskip("numpy")
    with clew.span("step", score=numpy.float32(0.5), n=numpy.int64(3), f=numpy.float64(0.25)) as span:
        span.outputs = numpy.array([[1, 2], [3, 4]])

    assert captured["step"].attributes == {"score": 0.5, "n": 3, "f": 0.25}
    assert captured["step"].outputs == [[1, 2], [3, 4]]


def test_a_pydantic_model_shows_its_fields(captured):
    pydantic = pytest.importorskip("pydantic")

    class Answer(pydantic.BaseModel):
        text: str

    with clew.span("step") as span:
        span.outputs = Answer(text="t")

    assert captured["step"].outputs == {"text": "t"}


@pytest.mark.parametrize(
    ("value", "shown", "problem"),
    [
        (10**30, str(10**30), "int of 100 bits"),
        (-(2**64), str(-(2**64)), "int of 65 bits"),
        (1 << 5_000_000, "<int of 5000001 bits>", "int of 5000001 bits"),
        ("a\ud800b", "a?b", "lone surrogates"),
        (Stubborn(), "<Stubborn, unreadable>", "raised RuntimeError"),
        (Stubborn(SystemExit), "<Stubborn, unreadable>", "raised SystemExit"),
    ],
    ids=["big int", "negative int", "huge int", "surrogate", "raising repr", "exiting repr"],
)
def test_hostile_values_are_replaced_visibly(captured, value, shown, problem):
    clew.span("step", value=value, good="kept").end()

    found = captured["step"]
    assert found.attributes == {"value": shown, "good": "kept"}
    assert len(found.problems) == 1
    assert problem in found.problems[0]


@pytest.mark.parametrize(
    "value",
    [
        cycle(),
        deep(100_000),
        sys,
        threading.Lock(),
        (n for n in range(3)),
        object(),
        print,
        type,
        Stubborn,
        Stubborn(KeyError),
    ],
    ids=["cycle", "deep", "module", "lock", "generator", "object", "builtin", "type", "class", "keyerror"],
)
def test_nothing_that_is_put_in_costs_the_span(captured, value):
    with clew.span("step", inputs=value, value=value, good="kept") as span:
        span.outputs = value
        span.event("event", value=value)
    clew.span("beside").end()

    assert captured["step"].attributes["good"] == "kept"
    assert captured["beside"]


def test_a_cycle_is_named(captured):
    clew.span("step", value=cycle()).end()

    assert captured["step"].attributes == {"value": [{"again": "<cycle>"}]}


def test_a_long_string_is_cut_visibly(captured):
    clew.span("step", text="x" * 10_000_000, good="kept").end()

    found = captured["step"]
    assert found.attributes["text"].startswith("x" * (1 << 20))
    assert found.attributes["text"].endswith("… [cut: 10000000 characters]")
    assert found.attributes["good"] == "kept"
    assert found.problems == ["attributes.text was cut from 10000000 to 1048576 characters"]


def test_what_is_large_in_all_is_cut_until_it_fits(captured):
    clew.span("step", **{f"a{n}": "x" * 1_000_000 for n in range(30)}).end()

    assert len(msgspec.msgpack.encode(captured["step"])) <= MAX_SPAN_BYTES
    assert captured["step"].problems


def test_many_small_things_are_bounded_too(captured):
    with clew.span("step") as span:
        span.outputs = [[object() for _ in range(9_000)] for _ in range(50)]

    assert len(msgspec.msgpack.encode(captured["step"])) <= MAX_SPAN_BYTES


@pytest.mark.parametrize(
    "name", [None, 42, "", "\ud800", "x" * 100_000, Stubborn(), ["list"]], ids=lambda n: repr(type(n))
)
def test_a_name_that_is_none_still_names(captured, name):
    clew.span(name).end()

    (found,) = captured.spans
    assert isinstance(found.name, str)
    assert len(found.name) <= 1_000


_leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=20)
    | st.binary(max_size=20)
    | st.just(None).map(lambda _: Stubborn())
    | st.sampled_from([object(), sys, Colour.RED, Hit("d", 1.0), Text("\udfff"), float, decimal.Decimal("NaN")])
    | st.complex_numbers()
    | st.datetimes()
    | st.timedeltas()
    | st.uuids()
)
_values = st.recursive(
    _leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(
            st.text(st.characters(), max_size=5) | st.integers() | st.none() | st.tuples(st.integers()),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(span=st.fixed_dictionaries({"kind": _values, "parent": _values, "inputs": _values}), name=_values, value=_values)
def test_no_input_makes_the_sdk_raise(captured, span, name, value):
    """Nor lose the span."""
    with clew.span(name, **span) as made:
        made.set_attributes({"value": value, "nested": [value, {"again": value}]})
        made.outputs = value
        made.event(value, value=value)
        made.fail(value)
        clew.score(value, value, best=value, trace_id=value, comment=value, source=value)
        with clew.tracing_context(parent=value):
            pass

    assert [found.span_id for found in captured.spans].count(made.span_id) == 1
    captured.bodies.clear()


# Scores.


def test_a_score_without_more_is_the_current_traces(captured):
    with clew.span("request") as span:
        clew.score("rating", 2, comment="wrong")

    (score,) = captured.scores
    assert (score.trace_id, score.span_id, score.name, score.value, score.best) == (
        span.trace_id,
        None,
        "rating",
        2.0,
        5.0,
    )
    assert score.comment == "wrong"
    assert score.at_ns > 0


def test_a_score_of_a_span_or_of_a_trace_named(captured):
    with clew.span("request") as span:
        pass
    clew.score("relevant", 1, best=1, span=span, source="evaluator")
    clew.score("rating", 5, trace_id=span.trace_id)

    of_span, of_trace = captured.scores
    assert (of_span.trace_id, of_span.span_id, of_span.source) == (span.trace_id, span.span_id, "evaluator")
    assert (of_trace.trace_id, of_trace.span_id) == (span.trace_id, None)


@pytest.mark.parametrize(
    "given",
    [{}, {"trace_id": "xyz"}, {"trace_id": "0" * 32}, {"span": object()}, {"value": "many"}, {"value": float("nan")}],
)
def test_what_is_no_score_is_said_once_and_not_sent(captured, caplog, given):
    for _ in range(2):
        clew.score("rating", **{"value": 1, **given})

    assert captured.scores == []
    assert caplog.text.count("a score was ignored") == 1
