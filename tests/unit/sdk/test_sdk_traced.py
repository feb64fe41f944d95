"""`@clew.traced`: every sort of function, its arguments, its result, its end."""

from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import AsyncIterator, Iterator

import pytest

import clew


def test_a_call_is_a_span_with_arguments_and_result(captured):
    @clew.traced
    def search(question, top_k=5, *more, exact=False, **rest):
        return [question, top_k]

    assert search("why", 3, "x", rank=1) == ["why", 3]

    found = captured["search"]
    assert found.kind == "chain"
    assert found.inputs == {"question": "why", "top_k": 3, "more": ["x"], "exact": False, "rank": 1}
    assert found.outputs == ["why", 3]


def test_defaults_are_filled_in(captured):
    @clew.traced
    def search(question, top_k=5):
        return None

    search(question="why")

    assert captured["search"].inputs == {"question": "why", "top_k": 5}
    assert captured["search"].outputs is None


def test_name_kind_and_attributes_can_be_given(captured):
    @clew.traced("first", kind="retrieval", top_k=5)
    def one():
        pass

    @clew.traced(name="second", inputs="an attribute")
    def two():
        pass

    one()
    two()

    assert captured["first"].kind == "retrieval"
    assert captured["first"].attributes == {"top_k": 5}
    assert captured["second"].attributes == {"inputs": "an attribute"}


def test_capture_can_be_off(captured):
    @clew.traced(capture_inputs=False, capture_outputs=False)
    def login(password):
        return "token"

    login("secret")

    assert (captured["login"].inputs, captured["login"].outputs) == (None, None)


def test_self_and_cls_are_no_inputs(captured):
    class Index:
        @clew.traced
        def search(self, question):
            return question

        @classmethod
        @clew.traced
        def build(cls, size):
            return size

        @clew.traced
        @staticmethod
        def tokens(text):
            return text

    Index().search("why")
    Index.build(3)
    Index.tokens("t")

    assert captured["search"].inputs == {"question": "why"}
    assert captured["build"].inputs == {"size": 3}
    assert captured["tokens"].inputs == {"text": "t"}


def test_an_argument_shows_what_was_passed(captured):
    """Agents append to the list of messages that they were given."""

    @clew.traced
    def answer(messages, *, options):
        messages.append("answer")
        options["b"] = 2

    answer(["question"], options={"a": 1})

    assert captured["answer"].inputs == {"messages": ["question"], "options": {"a": 1}}


def test_what_it_wraps_keeps_its_name_and_nature():
    @clew.traced
    def plain(a: int) -> int:
        """Doc."""
        return a

    @clew.traced
    async def coroutine() -> None:
        pass

    assert (plain.__name__, plain.__doc__) == ("plain", "Doc.")
    assert str(inspect.signature(plain)) == "(a: 'int') -> 'int'"
    assert inspect.iscoroutinefunction(coroutine)


def test_an_exception_goes_through_as_the_same_object(captured):
    error = ValueError("no")

    @clew.traced
    def fail():
        raise error

    with pytest.raises(ValueError) as caught:
        fail()

    assert caught.value is error
    assert captured["fail"].status == "error"


async def test_a_coroutine_is_the_parent_of_what_it_awaits(captured):
    @clew.traced
    async def inner(n):
        await asyncio.sleep(0)
        return n

    @clew.traced
    async def outer():
        return sum(await asyncio.gather(inner(1), inner(2)))

    assert await outer() == 3
    spans = captured.spans
    outer_id = captured["outer"].span_id
    assert [span.parent_id for span in spans if span.name == "inner"] == [outer_id, outer_id]
    assert captured["outer"].outputs == 3


def test_what_is_no_plain_function_can_be_traced(captured):
    class Model:
        def __call__(self, prompt):
            return prompt.upper()

    assert clew.traced(Model())("hi") == "HI"
    assert clew.traced(len)([1, 2]) == 2

    assert captured["Model"].inputs == {"args": ["hi"]}
    assert captured["len"].outputs == 2


def test_a_traced_function_works_when_tracing_is_off(captured):
    @clew.traced
    def double(a):
        return 2 * a

    @clew.traced
    def count():
        yield from (1, 2)

    clew.configure(enabled=False)

    assert double(2) == 4
    assert list(count()) == [1, 2]
    assert captured.spans == []


# Generators.


@clew.traced(kind="generation")
def words(*given: str) -> Iterator[str]:
    for word in given:
        with clew.span(f"make {word}"):
            pass
        yield word


@clew.traced(kind="generation")
async def async_words(*given: str) -> AsyncIterator[str]:
    for word in given:
        with clew.span(f"make {word}"):
            await asyncio.sleep(0)
        yield word


def test_a_generator_is_one_span_with_what_it_yielded(captured):
    assert list(words("a", "b")) == ["a", "b"]

    found = captured["words"]
    assert captured.tree() == {"words": {"make a": {}, "make b": {}}}
    assert found.inputs == {"given": ["a", "b"]}
    assert found.outputs == "ab"
    assert found.attributes["first_token_ms"] >= 0
    assert found.status == "ok"


def test_what_is_not_all_text_is_kept_as_a_list(captured):
    @clew.traced
    def mixed():
        yield 1
        yield "two"

    list(mixed())

    assert captured["mixed"].outputs == [1, "two"]


def test_between_the_steps_the_consumer_is_not_inside(captured):
    """Its spans are the consumer's own, or the tree shows what never called what."""
    with clew.span("consumer") as consumer:
        for word in words("a", "b"):
            assert clew.current_span() is consumer
            with clew.span(f"use {word}"):
                pass

    assert captured.tree() == {"consumer": {"words": {"make a": {}, "make b": {}}, "use a": {}, "use b": {}}}


def test_the_parent_is_taken_at_the_call(captured):
    """A response body is iterated long after the handler that made it returned."""
    with clew.span("handler"):
        stream = words("a")
    with clew.span("elsewhere"):
        list(stream)

    assert captured.tree() == {"handler": {"words": {"make a": {}}}, "elsewhere": {}}


def test_a_generator_called_outside_of_any_span_begins_its_own_trace(captured):
    stream = words("a")
    with clew.span("elsewhere"):
        list(stream)

    assert captured.tree() == {"words": {"make a": {}}, "elsewhere": {}}


def test_a_generators_own_open_span_is_current_in_its_next_step(captured):
    @clew.traced
    def stream():
        with clew.span("inside"):
            yield 1
            with clew.span("deeper"):
                pass
            yield 2

    with clew.span("consumer"):
        for n in stream():
            clew.span(f"use {n}").end()

    assert captured.tree() == {"consumer": {"stream": {"inside": {"deeper": {}}}, "use 1": {}, "use 2": {}}}


@pytest.mark.parametrize("way", ["break", "close", "collect"])
def test_a_generator_broken_off_ends_its_span(captured, way):
    with clew.span("consumer") as consumer:
        stream = words("a", "b")
        for _ in stream:
            break
        if way == "close":
            stream.close()
        del stream
        gc.collect()
        assert clew.current_span() is consumer

    assert captured["words"].outputs == "a"
    assert captured["words"].status == "ok"
    assert not clew.current_span()


def test_a_generator_never_begun_is_no_span(captured):
    """Nothing ran."""
    words("a").close()

    assert captured.spans == []


def test_a_generator_that_raises_ends_its_span_with_the_error(captured):
    error = ValueError("no")

    @clew.traced
    def fail():
        yield 1
        raise error

    with pytest.raises(ValueError) as caught:
        list(fail())

    assert caught.value is error
    assert captured["fail"].status_message == "no"
    assert captured["fail"].outputs == [1]


def test_send_throw_and_return_reach_the_generator(captured):
    @clew.traced
    def echo():
        got = yield "ready"
        try:
            yield got
        except KeyError as error:
            return f"caught {error.args[0]}"

    stream = echo()
    assert next(stream) == "ready"
    assert stream.send("hello") == "hello"
    with pytest.raises(StopIteration) as stop:
        stream.throw(KeyError("thrown"))

    assert stop.value.value == "caught thrown"
    assert captured["echo"].status == "ok"


def test_a_long_generators_outputs_are_bounded_and_say_so(captured):
    @clew.traced
    def stream():
        yield from range(10_500)

    assert sum(1 for _ in stream()) == 10_500

    assert captured["stream"].outputs == list(range(10_000))
    assert captured["stream"].events[0].attributes == {"kept": 10_000, "yielded": 10_500}


async def test_an_async_generator_is_one_span_with_what_it_yielded(captured):
    with clew.span("consumer") as consumer:
        async for word in async_words("a", "b"):
            assert clew.current_span() is consumer
            clew.span(f"use {word}").end()

    assert captured.tree() == {"consumer": {"async_words": {"make a": {}, "make b": {}}, "use a": {}, "use b": {}}}
    assert captured["async_words"].outputs == "ab"


async def test_each_step_of_an_async_generator_may_run_in_another_task(captured):
    """Servers do this; a token kept from the first step would raise in the second."""
    with clew.span("handler"):
        stream = async_words("a", "b")
    assert await asyncio.create_task(stream.__anext__()) == "a"
    assert await asyncio.create_task(stream.__anext__()) == "b"
    with pytest.raises(StopAsyncIteration):
        await asyncio.create_task(stream.__anext__())

    assert captured.tree() == {"handler": {"async_words": {"make a": {}, "make b": {}}}}


@pytest.mark.parametrize("way", ["close", "collect"])
async def test_an_async_generator_broken_off_ends_its_span(captured, way):
    stream = async_words("a", "b")
    async for _ in stream:
        break
    if way == "close":
        await stream.aclose()
    else:
        del stream
        gc.collect()
        # The event loop closes what was collected, in a task of its own.
        while not captured.spans or captured.spans[-1].name != "async_words":  # noqa: ASYNC110
            await asyncio.sleep(0)

    assert captured["async_words"].outputs == "a"
    assert captured["async_words"].status == "ok"


async def test_an_async_generator_that_raises_ends_its_span_with_the_error(captured):
    error = ValueError("no")

    @clew.traced
    async def fail():
        yield 1
        raise error

    with pytest.raises(ValueError) as caught:
        async for _ in fail():
            pass

    assert caught.value is error
    assert captured["fail"].status_message == "no"


async def test_asend_and_athrow_reach_the_async_generator(captured):
    @clew.traced
    async def echo():
        got = yield "ready"
        try:
            yield got
        except KeyError as error:
            yield f"caught {error.args[0]}"

    stream = echo()
    assert await stream.__anext__() == "ready"
    assert await stream.asend("hello") == "hello"
    assert await stream.athrow(KeyError("thrown")) == "caught thrown"
    await stream.aclose()

    assert captured["echo"].status == "ok"


async def test_an_async_generator_cancelled_ends_its_span(captured):
    @clew.traced
    async def forever():
        yield 1
        await asyncio.Event().wait()

    async def consume() -> None:
        async for _ in forever():
            begun.set()

    begun = asyncio.Event()
    task = asyncio.create_task(consume())
    await begun.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert (captured["forever"].status, captured["forever"].status_message) == ("error", "cancelled")
