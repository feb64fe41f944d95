"""Who is whose parent: the promise that a trace is one tree, however the work is spread."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import gc
import pickle
import queue
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import clew
from clew.errors import MalformedId
from clew.sdk.ambient import CURRENT, SpanContext

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def step(name: str) -> None:
    with clew.span(name):
        pass


async def async_step(name: str) -> None:
    with clew.span(name):
        await asyncio.sleep(0)


def test_a_span_inside_another_is_its_child(captured):
    with clew.span("request") as request, clew.span("step") as child:
        assert child.trace_id == request.trace_id

    assert captured.tree() == {"request": {"step": {}}}
    assert captured["step"].parent_id == request.span_id
    assert captured["request"].parent_id is None


def test_siblings_do_not_become_children_of_each_other(captured):
    with clew.span("request"):
        step("one")
        step("two")

    assert captured.tree() == {"request": {"one": {}, "two": {}}}


def test_two_requests_are_two_traces(captured):
    step("one")
    step("two")

    assert captured["one"].trace_id != captured["two"].trace_id


async def test_await_keeps_the_parent(captured):
    with clew.span("request"):
        await async_step("step")

    assert captured.tree() == {"request": {"step": {}}}


async def test_gather_keeps_the_parent(captured):
    with clew.span("request"):
        await asyncio.gather(*(async_step(f"step-{n}") for n in range(3)))

    assert captured.tree() == {"request": {"step-0": {}, "step-1": {}, "step-2": {}}}


async def test_a_task_keeps_the_parent_that_it_was_made_under(captured):
    """Also after that parent has ended and been sent: a span late is better than a torn tree."""
    go_on = asyncio.Event()

    async def later() -> None:
        await go_on.wait()
        await async_step("late")
        await async_step("later still")

    with clew.span("request") as request:
        task = asyncio.create_task(later())
    assert captured["request"].span_id == request.span_id
    gc.collect()
    go_on.set()
    await task

    assert captured.tree() == {"request": {"late": {}, "later still": {}}}


async def test_to_thread_keeps_the_parent(captured):
    with clew.span("request"):
        await asyncio.to_thread(step, "step")

    assert captured.tree() == {"request": {"step": {}}}


async def test_run_in_executor_keeps_the_parent(captured):
    """asyncio itself does not carry the context here."""
    with clew.span("request"):
        await asyncio.get_running_loop().run_in_executor(None, step, "default pool")
        with ThreadPoolExecutor(1) as pool:
            await asyncio.get_running_loop().run_in_executor(pool, step, "own pool")

    assert captured.tree() == {"request": {"default pool": {}, "own pool": {}}}


def test_a_thread_pool_keeps_the_parent(captured):
    with clew.span("request"), ThreadPoolExecutor(2) as pool:
        pool.submit(step, "submitted").result()
        list(pool.map(step, ["mapped"]))

    assert captured.tree() == {"request": {"submitted": {}, "mapped": {}}}


def test_a_pool_does_not_remember_the_span_that_started_its_threads(captured):
    """The worker outlives the request; the next request's work is not its child."""
    with ThreadPoolExecutor(1) as pool:
        with clew.span("first"):
            pool.submit(step, "a").result()
        pool.submit(step, "alone").result()
        with clew.span("second"):
            pool.submit(step, "b").result()

    assert captured.tree() == {"first": {"a": {}}, "alone": {}, "second": {"b": {}}}


def test_a_pool_carries_no_other_context_variable(captured):
    """What else the user keeps in context behaves as it does without Clew."""
    theirs: contextvars.ContextVar[str] = contextvars.ContextVar("theirs", default="unset")
    theirs.set("set")
    with clew.span("request"), ThreadPoolExecutor(1) as pool:
        assert pool.submit(theirs.get).result() == "unset"


def test_a_thread_keeps_the_parent(captured):
    with clew.span("request"):
        thread = threading.Thread(target=step, args=("step",))
        thread.start()
        thread.join()

    assert captured.tree() == {"request": {"step": {}}}


def test_a_thread_subclass_keeps_the_parent(captured):
    class Worker(threading.Thread):
        def run(self) -> None:
            step("step")

    with clew.span("request"):
        worker = Worker()
        worker.start()
        worker.join()

    assert captured.tree() == {"request": {"step": {}}}


def test_an_explicit_parent_wins_over_the_current_span(captured):
    """Frameworks run callbacks inside some other span's context."""
    with clew.span("request") as request, clew.span("retrieve"):
        clew.span("callback", parent=request).end()

    assert captured["callback"].parent_id == request.span_id


def test_an_explicit_parent_may_have_ended(captured):
    with clew.span("request") as request:
        pass
    assert captured["request"]
    clew.span("late", parent=request).end()

    assert captured.tree() == {"request": {"late": {}}}


@pytest.mark.parametrize("parent", [TRACEPARENT, SpanContext.from_traceparent(TRACEPARENT)])
def test_a_remote_parent_is_continued(captured, parent):
    with clew.span("request", parent=parent) as span:
        step("step")

    assert span.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert captured["request"].parent_id == "00f067aa0ba902b7"
    assert captured.tree() == {"request": {"step": {}}}


@pytest.mark.parametrize(
    "parent", ["nonsense", TRACEPARENT[:-3], "00-" + "0" * 32 + "-00f067aa0ba902b7-01", 42, object(), b"00", [], "\0"]
)
def test_what_is_no_parent_is_ignored_and_said_once(captured, caplog, parent):
    """A request must not fail because of a header that somebody else wrote."""
    with clew.span("request"):
        clew.span("one", parent=parent).end()
        clew.span("two", parent=parent).end()

    assert captured.tree() == {"request": {"one": {}, "two": {}}}
    assert caplog.text.count("parent= ignored") == 1


def test_traceparent_continues_in_another_process(captured):
    with clew.span("here") as here:
        header = here.traceparent
    with clew.span("there", parent=header):
        pass

    assert captured.tree() == {"here": {"there": {}}}


def test_tracing_context_makes_a_parent_ambient(captured):
    with clew.span("request") as request:
        pass
    with clew.tracing_context(parent=request):
        step("step")
    step("outside")

    assert captured.tree() == {"request": {"step": {}}, "outside": {}}


def test_tracing_context_takes_a_traceparent(captured):
    with clew.tracing_context(parent=TRACEPARENT):
        current = clew.current_span()
        assert not current
        assert current.traceparent == TRACEPARENT
        step("step")

    assert captured["step"].trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"


def test_tracing_context_of_none_changes_nothing(captured):
    with clew.span("request"), clew.tracing_context(parent=None):
        step("step")

    assert captured.tree() == {"request": {"step": {}}}


def test_current_span_is_false_and_harmless_when_there_is_none(captured):
    current = clew.current_span()

    assert not current
    assert current.trace_id == current.span_id == current.traceparent == ""
    current.set(user_id="u")
    current.inputs = current.outputs = 1
    current.event("e")
    current.fail("f")
    current.record_exception(ValueError())
    current.first_token()
    current.end()
    with current as same:
        assert same is current
        step("step")
    clew.span("child", parent=current).end()
    assert captured.tree() == {"step": {}, "child": {}}


def test_current_span_is_the_innermost(captured):
    with clew.span("a") as a:
        assert clew.current_span() is a
        with clew.span("b") as b:
            assert clew.current_span() is b
        assert clew.current_span() is a


def test_a_span_ended_by_hand_was_never_current(captured):
    span = clew.span("manual")
    assert not clew.current_span()
    span.end()

    assert captured["manual"].parent_id is None


def test_leaving_a_span_in_another_context_does_not_raise_and_disturbs_nobody(captured):
    """Frameworks enter in one task and leave in another; `reset(token)` would raise here."""
    span = clew.span("request")
    span.__enter__()

    def elsewhere() -> None:
        CURRENT.set(None)
        with clew.span("other") as other:
            span.__exit__(None, None, None)
            assert clew.current_span() is other

    contextvars.copy_context().run(elsewhere)
    CURRENT.set(None)

    assert captured.tree() == {"request": {}, "other": {}}


def spans_inside():
    with clew.span("inside"):
        yield 1
        yield 2


def test_a_plain_generator_that_is_dropped_leaves_nothing_current(captured):
    with clew.span("request") as request:
        for _ in spans_inside():
            break
        assert clew.current_span() is request

    assert captured.tree() == {"request": {"inside": {}}}
    assert not clew.current_span()


def test_a_generator_that_outlives_the_request_does_not_swallow_the_next_one(captured):
    """It is closed after the request's span was left; what it restores then must not be that span."""
    with clew.span("first"):
        stream = spans_inside()
        next(stream)
    stream.close()
    step("second")

    assert captured.tree() == {"first": {"inside": {}}, "second": {}}


async def test_the_rag_request_is_exactly_this_tree(captured):
    """The shape that the demo promises."""

    async def retrieve(source: str) -> None:
        with clew.span(f"VectorStoreRetriever_{source}", kind="retrieval"):
            await asyncio.sleep(0)

    with clew.span("POST /api/v1/query", kind="root"), clew.span("chat_generation", kind="chain"):
        await async_step("classification")
        with clew.span("get_rag_context", kind="chain"):
            await asyncio.to_thread(step, "embedding")
            await asyncio.gather(*map(retrieve, ("user_messages", "global_knowledge", "documents")))
        await async_step("ChatOpenAI")

    assert captured.tree() == {
        "POST /api/v1/query": {
            "chat_generation": {
                "classification": {},
                "get_rag_context": {
                    "embedding": {},
                    "VectorStoreRetriever_user_messages": {},
                    "VectorStoreRetriever_global_knowledge": {},
                    "VectorStoreRetriever_documents": {},
                },
                "ChatOpenAI": {},
            }
        }
    }


def test_a_wrong_span_context_is_refused_where_it_is_made():
    """Unlike a header, it is written by the programmer."""
    with pytest.raises(MalformedId):
        SpanContext("0" * 32, "00f067aa0ba902b7")
    with pytest.raises(MalformedId):
        SpanContext("4bf92f3577b34da6a3ce929d0e0e4736", "xyz")


def test_what_travels_in_contexts_after_the_end_is_ids_only(captured):
    """A task that lives for hours must not keep a prompt alive."""
    with clew.span("request", prompt="p" * 100) as span:
        span.outputs = ["answer"]
        context = contextvars.copy_context()
    assert captured["request"].outputs == ["answer"]

    held = context[CURRENT]
    assert held is span
    assert held.inputs is None
    assert held.outputs is None
    assert held._attributes is None
    assert held._prev is None
    assert held.trace_id == captured["request"].trace_id


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_copy_of_a_span_is_the_span(captured, duplicate):
    """State that holds one is copied by frameworks; the step happened once."""
    span = clew.span("request")
    assert duplicate({"span": span})["span"] is span
    span.end()

    assert captured.tree() == {"request": {}}


def test_a_pickled_span_is_its_ids(captured):
    with clew.span("request", inputs="secret") as span:
        pickled = pickle.dumps(span)
    assert b"secret" not in pickled
    clew.span("elsewhere", parent=pickle.loads(pickled)).end()
    assert not pickle.loads(pickle.dumps(clew.current_span()))

    assert captured.tree() == {"request": {"elsewhere": {}}}


class Foreign:
    """Another API's object on one of Clew's spans."""

    def __init__(self, span) -> None:
        self.__clew_span__ = span


def test_what_stands_for_a_span_is_a_parent(captured):
    with clew.span("request") as request:
        pass
    clew.span("one", parent=Foreign(request)).end()
    with clew.tracing_context(parent=Foreign(request)):
        step("two")

    assert captured.tree() == {"request": {"one": {}, "two": {}}}


class Hostile:
    """Its attributes raise."""

    def __getattr__(self, name: str):
        raise RuntimeError(name)


def test_a_parent_whose_attributes_raise_is_no_parent(captured):
    with clew.span("request"):
        clew.span("one", parent=Hostile()).end()
        list(clew.traced("two", parent=Hostile())(spans_inside)())

    assert captured.tree() == {"request": {"one": {}, "two": {"inside": {}}}}


def test_keeping_a_trace_is_noted_until_it_ends(captured, caplog):
    with clew.span("request") as span:
        span.keep()
        assert span._extra is not None
        assert span._extra.kept
    span.keep()
    clew.current_span().keep()

    assert captured["request"]
    assert "keep on a span that has ended was ignored" in caplog.text


def test_a_queues_item_brings_its_parent(captured):
    """The consumer was there before the request: nothing ambient could tell."""
    items: queue.Queue[tuple[str, str]] = queue.Queue()

    def consume() -> None:
        name, traceparent = items.get(timeout=10)
        with clew.tracing_context(parent=traceparent):
            step(name)

    consumer = threading.Thread(target=consume)
    consumer.start()
    with clew.span("request") as request:
        items.put(("work", request.traceparent))
    consumer.join()

    assert captured.tree() == {"request": {"work": {}}}


def test_a_timer_and_a_loop_inside_a_thread_keep_the_parent(captured):
    with clew.span("request"):
        threads = [
            threading.Timer(0, step, ("timer",)),
            threading.Thread(target=lambda: asyncio.run(async_step("loop"))),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert set(captured.tree()["request"]) == {"timer", "loop"}


async def test_a_cancelled_task_keeps_the_parent_and_disturbs_nobody(captured):
    begun = asyncio.Event()

    async def endless() -> None:
        with clew.span("endless"):
            try:
                begun.set()
                await asyncio.Event().wait()
            finally:
                step("cleanup")

    with clew.span("request"):
        task = asyncio.create_task(endless())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        step("after")

    assert captured.tree() == {"request": {"endless": {"cleanup": {}}, "after": {}}}


def test_spans_left_in_the_wrong_order_leave_nothing_behind(captured):
    with clew.span("request") as request:
        outer, inner = clew.span("outer"), clew.span("inner")
        outer.__enter__()
        inner.__enter__()
        outer.__exit__(None, None, None)
        inner.__exit__(None, None, None)
        assert clew.current_span() is request

    assert not clew.current_span()
