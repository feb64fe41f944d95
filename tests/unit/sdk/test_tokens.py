"""The tokens of a stream: when the first came, how many, and all of their times in one array."""

from __future__ import annotations

import gc
from array import array
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import clew
from clew.langsmith import traceable
from clew.model import tokens as model
from clew.sdk import tokens
from clew.sdk.outbox import outbox


class Clock:
    """Stands in for `perf_counter_ns`, at both places that read it; each token comes *step_ns* after the last."""

    def __init__(self, step_ns: int) -> None:
        self.now = 0
        self.step_ns = step_ns

    def __call__(self) -> int:
        self.now += self.step_ns
        return self.now


def noted(count: int, step_ns: int, monkeypatch: pytest.MonkeyPatch) -> tokens.Tokens:
    monkeypatch.setattr(tokens, "perf_counter_ns", Clock(step_ns))
    made = tokens.Tokens()
    for _ in range(count):
        made.note()
    return made


def told(span: Any) -> list[int]:
    found = model.timeline(span.attributes)
    assert found is not None, span.attributes
    assert span.attributes["first_token_ms"] == pytest.approx(found.first_ms, abs=0.001)
    return found.offsets_us


# The array.


@given(st.lists(st.integers(0, 10**12)).map(sorted))
def test_what_is_encoded_is_decoded(offsets):
    assert model.decode(model.encode(offsets)) == offsets


def test_the_array_holds_the_wait_for_the_first_and_then_the_gaps(monkeypatch):
    made = noted(4, 1_500_000, monkeypatch)

    assert made.attributes(500_000) == {"clew.tokens": [1000, 1500, 1500, 1500], "clew.token_count": 4}
    assert made.first_ms(500_000) == 1.0


def test_a_stream_that_gave_nothing_tells_nothing():
    assert tokens.Tokens().attributes(0) == {}


@pytest.mark.parametrize("count", [8_191, 8_192, 8_193, 16_384, 16_385, 24_577, 100_003])
def test_a_long_stream_is_thinned_evenly_and_keeps_its_count(monkeypatch, count):
    """A span stays small, and the timeline still shows the whole of it."""
    made = noted(count, 1_000, monkeypatch)

    attributes = made.attributes(0)
    found = model.timeline(attributes)
    assert found.count == count
    assert len(attributes["clew.tokens"]) <= 2 * tokens.MOST
    assert found.offsets_us == list(range(1, count + 1, found.every)), "every nth from the first"
    assert found.every == 1 or count > tokens.MOST
    assert found.per_second == pytest.approx(1e6)


@pytest.mark.parametrize("count", range(1, 200))
def test_it_stays_even_where_more_is_left_out_than_kept(monkeypatch, count):
    monkeypatch.setattr(tokens, "MOST", 4)
    found = model.timeline(noted(count, 1_000, monkeypatch).attributes(0))

    assert found.offsets_us == list(range(1, count + 1, found.every))
    assert found.count == count


def test_its_memory_is_bounded_too(monkeypatch):
    made = noted(1_000_000, 1, monkeypatch)

    assert len(made._head) + len(made._tail) <= 2 * tokens.MOST
    assert type(made._head) is array


@pytest.mark.parametrize(
    "attributes",
    [{}, {"clew.tokens": None}, {"clew.tokens": []}, {"clew.tokens": "x"}, {"clew.tokens": [1, "x"]},
     {"clew.tokens": [1, -5]}, {"clew.tokens": [1.5]}],
)  # fmt: skip
def test_what_is_no_timeline_is_read_as_none(attributes):
    """The attribute may come from anybody."""
    assert model.timeline(attributes) is None


@pytest.mark.parametrize(("count", "every"), [(None, None), ("x", "y"), (-1, 0), (1, True)])
def test_a_timeline_with_wrong_counts_counts_itself(count, every):
    found = model.timeline({"clew.tokens": [5, 1], "clew.token_count": count, "clew.tokens_every": every})

    assert (found.count, found.every, found.per_second) == (2, 1, 1e6)


def test_tokens_that_all_came_at_once_have_no_speed():
    assert model.timeline({"clew.tokens": [5, 0, 0]}).per_second is None


# Who notes them.


def test_each_item_of_a_stream_is_noted_and_handed_on(captured):
    with clew.span("ask", kind="generation") as span:
        got = list(span.stream(iter("abc")))

    assert got == ["a", "b", "c"]
    assert len(told(captured["ask"])) == 3
    assert captured["ask"].attributes["clew.token_count"] == 3


async def test_the_same_with_async_for(captured):
    async def source():
        for item in "abc":
            yield item

    with clew.span("ask") as span:
        got = [item async for item in span.stream(source())]

    assert got == ["a", "b", "c"]
    assert len(told(captured["ask"])) == 3


def test_next_takes_one_item_of_a_stream(captured):
    with clew.span("ask") as span:
        stream = span.stream("abc")
        assert (next(stream), next(stream)) == ("a", "b")

    assert len(told(captured["ask"])) == 2


def test_callbacks_note_a_token_each(captured):
    with clew.span("ask") as span:
        span.token()
        span.token()

    assert len(told(captured["ask"])) == 2


def test_a_first_token_that_was_said_before_stays(captured):
    with clew.span("ask", first_token_ms=7.0) as span:
        span.token()

    assert captured["ask"].attributes["first_token_ms"] == 7.0


def _generator(kind="generation"):
    @clew.traced(kind=kind)
    def generate():
        yield from "abcd"

    return generate()


def _async_generator():
    @clew.traced(kind="generation")
    async def generate():
        for item in "abcd":
            yield item

    return generate()


def _langsmith():
    @traceable(run_type="llm")
    def generate():
        yield from "abcd"

    return generate()


@pytest.mark.parametrize("make", [_generator, _langsmith])
@pytest.mark.parametrize("how", ["ended", "broken off", "closed", "collected", "thrown into"])
def test_a_traced_generator_tells_its_tokens_however_it_ends(captured, make, how):
    stream = make()
    if how == "ended":
        list(stream)
    else:
        assert [next(stream), next(stream)] == ["a", "b"]
        if how == "closed":
            stream.close()
        elif how == "thrown into":
            with pytest.raises(KeyError):
                stream.throw(KeyError("x"))
        elif how == "collected":
            del stream
            gc.collect()
        else:
            for _ in stream:
                break
            stream.close()

    tokens_of = {"ended": 4, "broken off": 3}.get(how, 2)
    assert len(told(captured["generate"])) == tokens_of


async def test_an_async_generator_does_too(captured):
    async for _ in _async_generator():
        pass

    assert len(told(captured["generate"])) == 4


def test_a_stream_that_fails_tells_what_came_until_then_and_the_exception_is_the_same(captured):
    error = ValueError("the model went away")

    @clew.traced(kind="generation")
    def generate():
        yield "a"
        raise error

    with pytest.raises(ValueError) as raised:
        list(generate())

    assert raised.value is error
    assert len(told(captured["generate"])) == 1
    assert captured["generate"].status == "error"


def test_a_hand_written_stream_that_fails_does_so_too(captured):
    error = ValueError("gone")

    def source():
        yield "a"
        raise error

    with pytest.raises(ValueError) as raised, clew.span("ask") as span:
        list(span.stream(source()))

    assert raised.value is error
    assert len(told(captured["ask"])) == 1


def test_generators_of_other_kinds_have_no_tokens(captured):
    list(_generator(kind="retrieval"))

    assert captured["generate"].attributes == {}


def test_a_generator_that_notes_its_tokens_itself_counts_them_once(captured):
    @clew.traced(kind="generation")
    def generate():
        for chunk in clew.current_span().stream(["a b", "c"]):
            yield from chunk.split()

    assert list(generate()) == ["a", "b", "c"]
    assert captured["generate"].attributes["clew.token_count"] == 2


def test_a_token_after_the_end_is_ignored(captured, caplog):
    with clew.span("ask") as span:
        span.token()
    span.token()

    assert captured["ask"].attributes["clew.token_count"] == 1
    assert "token on a span that has ended was ignored" in caplog.text


def test_while_tracing_is_off_a_stream_is_itself(untouched):
    clew.configure(enabled=False)
    source = iter("abc")
    with clew.span("ask") as span:
        assert span.stream(source) is source
        span.token()


def test_redaction_does_not_touch_the_array_whatever_names_are_secret(captured):
    from clew.sdk.processing import processing_from

    outbox.processing = processing_from(True, ["tokens"], [], "")
    with clew.span("ask", user="jane@example.com") as span:
        span.token()

    assert captured["ask"].attributes["user"] == "[redacted: mail address]"
    assert len(told(captured["ask"])) == 1


# A span for each token.


def test_token_spans_make_a_child_of_each_from_the_one_before(captured):
    outbox.token_spans = True
    with clew.span("ask", kind="generation") as span:
        list(span.stream(["a", "b"]))
        span.token()

    children = sorted((each for each in captured.spans if each.name == "token"), key=lambda each: each.start_ns)
    ask = captured["ask"]
    assert [each.parent_id for each in children] == [ask.span_id] * 3
    assert [each.outputs for each in children] == ["a", "b", None]
    assert children[0].start_ns == ask.start_ns
    assert [each.start_ns for each in children[1:]] == [each.end_ns for each in children[:-1]]
    assert {each.kind for each in children} == {"other"}
    assert len(told(ask)) == 3


def test_token_spans_are_off_unless_asked_for(captured):
    list(_generator())

    assert [span.name for span in captured.spans] == ["generate"]
