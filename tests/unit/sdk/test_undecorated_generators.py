"""A `with clew.span` inside of a generator: who is whose parent between its steps, and in them."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Iterator

import pytest

import clew
from clew.sdk.ambient import CURRENT
from clew.sdk.held import HELD


@pytest.fixture(autouse=True)
def nothing_stays_held():
    """Whatever becomes of a generator, its frame is let go."""
    yield
    gc.collect()
    assert not HELD


def step(name: str) -> None:
    with clew.span(name):
        pass


def inside(*names: str) -> Iterator[str]:
    with clew.span("inside"):
        for name in names:
            step(name)
            yield name


async def inside_async(*names: str) -> AsyncIterator[str]:
    with clew.span("inside"):
        for name in names:
            await asyncio.sleep(0)
            step(name)
            yield name


def test_the_consumers_spans_between_the_steps_are_not_the_generators(captured):
    with clew.span("request"):
        for name in inside("a", "b"):
            step(f"after {name}")

    assert captured.tree() == {"request": {"inside": {"a": {}, "b": {}}, "after a": {}, "after b": {}}}


def test_a_step_under_a_span_of_the_consumer_stays_the_generators(captured):
    """The consumer holds a span open across the step; what the generator does is still its own."""
    with clew.span("request"):
        steps = inside("a", "b")
        next(steps)
        with clew.span("consumer"):
            step("before")
            next(steps)
            step("after")
        steps.close()

    assert captured.tree() == {"request": {"inside": {"a": {}, "b": {}}, "consumer": {"before": {}, "after": {}}}}


def test_what_is_current_is_seen_rightly_on_either_side(captured):
    def generator() -> Iterator[str]:
        with clew.span("inside") as span:
            assert clew.current_span() is span
            yield "one"
            assert clew.current_span() is span
            yield "two"

    with clew.span("request") as request:
        for _ in generator():
            assert clew.current_span() is request
        assert clew.current_span() is request


async def test_an_async_generator_in_one_task(captured):
    with clew.span("request"):
        async for name in inside_async("a", "b"):
            step(f"after {name}")

    assert captured.tree() == {"request": {"inside": {"a": {}, "b": {}}, "after a": {}, "after b": {}}}


async def test_each_step_in_another_task(captured):
    with clew.span("request"):
        steps = inside_async("a", "b", "c")
        for number in range(3):
            with clew.span(f"turn {number}"):
                await asyncio.create_task(steps.__anext__())  # type: ignore[arg-type]
                step(f"after {number}")
        await steps.aclose()

    assert captured.tree() == {
        "request": {
            "inside": {"a": {}, "b": {}, "c": {}},
            "turn 0": {"after 0": {}},
            "turn 1": {"after 1": {}},
            "turn 2": {"after 2": {}},
        }
    } or captured.tree() == {
        # The first step ran under the first turn, and so the generator's span began there.
        "request": {
            "turn 0": {"inside": {"a": {}, "b": {}, "c": {}}, "after 0": {}},
            "turn 1": {"after 1": {}},
            "turn 2": {"after 2": {}},
        }
    }
    assert captured["inside"].parent_id == captured["turn 0"].span_id


def test_each_step_in_another_thread(captured):
    """What Starlette does with a plain generator that is streamed."""
    with clew.span("request"):
        steps = inside("a", "b")
        for _ in range(2):
            context = contextvars.copy_context()
            thread = threading.Thread(target=context.run, args=(next, steps))
            thread.start()
            thread.join()
            step("between")
        steps.close()

    assert sorted(captured.tree()["request"]) == ["between", "inside"]
    assert list(captured.tree()["request"]["inside"]) == ["a", "b"]


async def test_tasks_made_inside_a_step_belong_to_the_generator(captured):
    async def generator() -> AsyncIterator[int]:
        with clew.span("inside"):
            yield 1
            await asyncio.gather(child("gathered"), asyncio.create_task(child("task")))
            await asyncio.to_thread(step, "thread")
            called = asyncio.Event()
            asyncio.get_running_loop().call_soon(lambda: (step("soon"), called.set()))
            await called.wait()
            contextvars.copy_context().run(step, "copied")
            yield 2

    async def child(name: str) -> None:
        await asyncio.sleep(0)
        step(name)

    with clew.span("request"):
        steps = generator()
        await steps.__anext__()
        with clew.span("consumer"):
            await steps.__anext__()
        await steps.aclose()

    assert captured.tree() == {
        "request": {
            "inside": {"gathered": {}, "task": {}, "thread": {}, "soon": {}, "copied": {}},
            "consumer": {},
        }
    }


async def test_tasks_made_between_the_steps_belong_to_the_consumer(captured):
    async def later(name: str) -> None:
        await asyncio.sleep(0)
        step(name)

    with clew.span("request"):
        tasks = []
        async for name in inside_async("a", "b"):
            tasks.append(asyncio.create_task(later(f"task {name}")))
            await asyncio.to_thread(step, f"thread {name}")
        await asyncio.gather(*tasks)

    assert set(captured.tree()["request"]) == {"inside", "task a", "thread a", "task b", "thread b"}
    assert captured.tree()["request"]["inside"] == {"a": {}, "b": {}}


async def test_a_task_that_outlives_the_generator_stays_its_child(captured):
    go_on = asyncio.Event()

    async def later() -> None:
        await go_on.wait()
        step("late")

    async def generator() -> AsyncIterator[asyncio.Task[None]]:
        with clew.span("inside"):
            yield asyncio.create_task(later())

    with clew.span("request"):
        tasks = [task async for task in generator()]
    go_on.set()
    await tasks[0]

    assert captured.tree() == {"request": {"inside": {"late": {}}}}


def test_a_pipeline_of_generators(captured):
    def source() -> Iterator[int]:
        with clew.span("source"):
            for number in (1, 2):
                step("read")
                yield number

    def double(numbers: Iterator[int]) -> Iterator[int]:
        with clew.span("double"):
            for number in numbers:
                step("times two")
                yield number * 2

    with clew.span("request"):
        for _ in double(source()):
            step("use")

    assert [span.name for span in captured.spans].count("read") == 2
    tree = captured.tree()["request"]
    assert tree == {"double": {"source": {"read": {}}, "times two": {}}, "use": {}}


def test_yield_from(captured):
    def outer() -> Iterator[str]:
        with clew.span("outer"):
            step("first")
            yield from inside("a", "b")
            step("last")

    with clew.span("request"):
        for name in outer():
            step(f"after {name}")

    assert captured.tree() == {
        "request": {
            "outer": {"first": {}, "inside": {"a": {}, "b": {}}, "last": {}},
            "after a": {},
            "after b": {},
        }
    }


def test_spans_of_functions_called_in_a_step(captured):
    """A span further in than the generator's wins over it, also when the generator runs under the consumer's."""

    def generator() -> Iterator[int]:
        with clew.span("inside"):
            yield 1
            with clew.span("nested"):
                helper()
            yield 2

    def helper() -> None:
        with clew.span("helper"):
            step("leaf")
            clew.span("by hand").end()
        step("beside")

    with clew.span("request"):
        steps = generator()
        next(steps)
        with clew.span("consumer"):
            next(steps)
        steps.close()

    assert captured.tree() == {
        "request": {"inside": {"nested": {"helper": {"leaf": {}, "by hand": {}}, "beside": {}}}, "consumer": {}}
    }


def test_a_decorated_generator_inside_of_an_undecorated_one_and_round_about(captured):
    @clew.traced
    def decorated() -> Iterator[int]:
        step("in decorated")
        yield 1
        step("in decorated again")
        yield 2

    def plain(numbers: Iterator[int]) -> Iterator[int]:
        with clew.span("plain"):
            for number in numbers:
                step(f"plain {number}")
                yield number

    @clew.traced
    def around() -> Iterator[int]:
        for number in plain(decorated()):
            step(f"around {number}")
            yield number

    with clew.span("request"):
        for number in around():
            with clew.span(f"use {number}"):
                pass

    assert captured.tree() == {
        "request": {
            "around": {
                "plain": {"plain 1": {}, "plain 2": {}},
                # Its parent is fixed at the call, which `around` made.
                "decorated": {"in decorated": {}, "in decorated again": {}},
                "around 1": {},
                "around 2": {},
            },
            "use 1": {},
            "use 2": {},
        }
    }


@pytest.mark.parametrize("way", ["break", "close", "collect", "raise in", "raise out"])
def test_however_it_ends_the_consumer_keeps_its_place(captured, way):
    def generator() -> Iterator[int]:
        with clew.span("inside"):
            try:
                yield 1
                raise ValueError("inside")
            finally:
                step("finally")

    with clew.span("request") as request:
        steps = generator()
        next(steps)
        step("between")
        if way == "close":
            steps.close()
        elif way == "raise out":
            with pytest.raises(ValueError, match="inside"):
                next(steps)
        elif way == "raise in":
            with pytest.raises(KeyError):
                steps.throw(KeyError("thrown"))
        elif way == "break":
            for _ in generator():
                break
            steps.close()
        del steps
        gc.collect()
        assert clew.current_span() is request
        step("after")

    tree = captured.tree()["request"]
    assert set(tree) == {"inside", "between", "after"}
    assert tree["inside"] == {"finally": {}}
    inside_spans = [span for span in captured.spans if span.name == "inside"]
    assert all(span.end_ns for span in inside_spans)
    failed = {span.status for span in inside_spans} == {"error"}
    assert failed == way.startswith("raise")


@pytest.mark.parametrize("way", ["break", "aclose", "collect", "cancel"])
async def test_however_an_async_one_ends_the_consumer_keeps_its_place(captured, way):
    async def generator() -> AsyncIterator[int]:
        with clew.span("inside"):
            try:
                yield 1
                await asyncio.Event().wait()
            finally:
                step("finally")

    async def endless(steps: AsyncIterator[int]) -> None:
        step("endless")
        await steps.__anext__()

    with clew.span("request") as request:
        steps = generator()
        await steps.__anext__()
        step("between")
        if way == "aclose":
            await steps.aclose()  # type: ignore[attr-defined]
        elif way == "cancel":
            task = asyncio.create_task(endless(steps))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        elif way == "break":
            await steps.aclose()  # type: ignore[attr-defined]
            async for _ in generator():
                break
        del steps
        gc.collect()
        for _ in range(5):  # asyncio closes a collected one in a task of its own.
            await asyncio.sleep(0)
        assert clew.current_span() is request
        step("after")

    tree = captured.tree()["request"]
    assert set(tree) - {"endless"} == {"inside", "between", "after"}
    assert tree["inside"] == {"finally": {}}


def test_a_generator_that_outlives_the_request(captured):
    """It goes on under its own span, and the next request is not disturbed."""
    with clew.span("first"):
        steps = inside("a", "b")
        next(steps)
    with clew.span("second"):
        next(steps)
        step("own")
    steps.close()
    step("third")

    assert captured.tree() == {"first": {"inside": {"a": {}, "b": {}}}, "second": {"own": {}}, "third": {}}


def test_a_dropped_generator_that_its_own_locals_lead_to_is_collected(captured):
    """A held frame must not keep its generator: `self.steps = self.generate()` is a cycle."""

    class Owner:
        def generate(self) -> Iterator[int]:
            with clew.span("inside"):
                yield 1

    owner = Owner()
    owner.steps = owner.generate()  # type: ignore[attr-defined]
    next(owner.steps)  # type: ignore[attr-defined]
    gone = weakref.ref(owner)
    del owner
    gc.collect()

    assert gone() is None
    assert captured.tree() == {"inside": {}}


def test_an_exit_stack_inside_of_a_generator(captured):
    def generator() -> Iterator[int]:
        with contextlib.ExitStack() as stack:
            stack.enter_context(clew.span("inside"))
            yield 1
            step("a")
            yield 2

    with clew.span("request"):
        for number in generator():
            step(f"after {number}")

    assert captured.tree() == {"request": {"inside": {"a": {}}, "after 1": {}, "after 2": {}}}


@contextlib.contextmanager
def scope(name: str) -> Iterator[clew.sdk.span.ActiveSpan]:
    with clew.span(name) as span:
        yield span


@contextlib.asynccontextmanager
async def async_scope(name: str) -> AsyncIterator[None]:
    await asyncio.sleep(0)
    with clew.span(name):
        yield


class Scope:
    """A context manager of somebody's own around a span."""

    def __init__(self, name: str) -> None:
        self.span = clew.span(name)

    def __enter__(self) -> None:
        self.span.__enter__()

    def __exit__(self, *_: object) -> None:
        self.span.__exit__(None, None, None)

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self.__exit__()


def delegating(name: str) -> Iterator[None]:
    with clew.span(name):
        yield


@contextlib.contextmanager
def delegating_scope(name: str) -> Iterator[None]:
    yield from delegating(name)


@pytest.mark.parametrize("manager", [scope, Scope, delegating_scope])
def test_a_context_managers_span_is_current_in_the_body(captured, manager):
    """Its generator is suspended there too, and yet the body is what the span is for."""
    with clew.span("request") as request:
        with manager("scope"):
            step("body")
        assert clew.current_span() is request
        step("after")

    assert captured.tree() == {"request": {"scope": {"body": {}}, "after": {}}}


async def test_an_async_context_managers_span_is_current_in_the_body(captured):
    with clew.span("request"):
        async with async_scope("scope"), Scope("own"):
            await asyncio.gather(asyncio.to_thread(step, "thread"))
            step("body")
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(async_scope("stacked"))
            step("body 2")
        step("after")

    assert captured.tree() == {
        "request": {"scope": {"own": {"thread": {}, "body": {}}}, "stacked": {"body 2": {}}, "after": {}}
    }


@pytest.mark.parametrize("manager", [scope, Scope, delegating_scope])
def test_a_context_manager_inside_of_a_generator_is_the_generators(captured, manager):
    def generator() -> Iterator[int]:
        with manager("inside"):
            step("a")
            yield 1
            step("b")
            yield 2

    for _ in range(50):  # Python specialises what runs often, and then keeps other books.
        list(generator())
    assert clew.flush()
    captured.bodies.clear()
    with clew.span("request"):
        steps = generator()
        next(steps)
        with clew.span("consumer"):
            next(steps)
            step("own")
        steps.close()

    assert captured.tree() == {"request": {"inside": {"a": {}, "b": {}}, "consumer": {"own": {}}}}


async def test_an_async_context_manager_inside_of_an_async_generator(captured):
    async def generator() -> AsyncIterator[int]:
        async with async_scope("inside"), Scope("own"):
            yield 1
            step("a")
            yield 2

    with clew.span("request"):
        async for number in generator():
            step(f"after {number}")

    assert captured.tree() == {"request": {"inside": {"own": {"a": {}}}, "after 1": {}, "after 2": {}}}


def test_a_context_manager_that_runs_a_generator_of_its_own(captured):
    @contextlib.contextmanager
    def prepared() -> Iterator[None]:
        for name in inside("a", "b"):
            step(f"prepare {name}")
        with clew.span("scope"):
            yield

    with clew.span("request"), prepared():
        step("body")

    assert captured.tree() == {
        "request": {"inside": {"a": {}, "b": {}}, "prepare a": {}, "prepare b": {}, "scope": {"body": {}}}
    }


@pytest.fixture
def in_a_fixture(captured):
    with clew.span("fixture"):
        yield


def test_a_fixtures_span_is_current_in_the_test(captured, in_a_fixture):
    assert clew.current_span().name == "fixture"


def test_tracing_context_inside_of_a_generator(captured):
    with clew.span("other") as other:
        pass

    def generator() -> Iterator[int]:
        with clew.tracing_context(parent=other):
            step("a")
            yield 1
            step("b")
            yield 2

    with clew.span("request"):
        for number in generator():
            step(f"after {number}")

    assert captured.tree() == {"other": {"a": {}, "b": {}}, "request": {"after 1": {}, "after 2": {}}}


def test_tracing_context_in_a_function_that_a_generator_calls(captured):
    with clew.span("other") as other:
        pass

    def elsewhere() -> None:
        with clew.tracing_context(parent=other):
            step("a")
            assert clew.current_span() is other

    def generator() -> Iterator[int]:
        with clew.span("inside"):
            elsewhere()
            step("b")
            yield 1

    with clew.span("request"):
        list(generator())

    assert captured.tree() == {"other": {"a": {}}, "request": {"inside": {"b": {}}}}


def test_an_event_loop_inside_of_a_step(captured):
    async def main() -> None:
        await asyncio.gather(child("one"), child("two"))

    async def child(name: str) -> None:
        with clew.span(name):
            await asyncio.sleep(0)
            step(f"in {name}")

    def generator() -> Iterator[int]:
        with clew.span("inside"):
            yield 1
            asyncio.run(main())
            yield 2

    with clew.span("request"):
        for _ in generator():
            step("between")

    assert captured.tree() == {
        "request": {"inside": {"one": {"in one": {}}, "two": {"in two": {}}}, "between": {}}
    } or ([span.name for span in captured.spans].count("between") == 2)
    assert captured["in one"].parent_id == captured["one"].span_id
    assert captured["in two"].parent_id == captured["two"].span_id
    assert captured["one"].parent_id == captured["two"].parent_id == captured["inside"].span_id


def test_many_generators_at_once_do_not_mix(captured):
    with clew.span("request"):
        running = [inside(f"a{number}", f"b{number}") for number in range(100)]
        for steps in running:
            next(steps)
        step("between")
        for steps in reversed(running):
            next(steps)
            steps.close()

    by_id = {span.span_id: span for span in captured.spans}
    assert captured["between"].parent_id == captured["request"].span_id
    for number in range(100):
        first, second = captured[f"a{number}"], captured[f"b{number}"]
        assert first.parent_id == second.parent_id
        assert by_id[first.parent_id].name == "inside"


def test_steps_in_many_threads_at_once(captured):
    """A frame that runs in another thread is not on this one's stack."""
    entered, go_on = threading.Barrier(9), threading.Barrier(9)

    def generator(number: int) -> Iterator[int]:
        with clew.span(f"inside {number}"):
            yield 1
            entered.wait(10)
            step(f"a {number}")
            go_on.wait(10)
            yield 2

    with clew.span("request"):
        running = [generator(number) for number in range(8)]
        for steps in running:
            next(steps)
        threads = [threading.Thread(target=next, args=(steps,)) for steps in running]
        for thread in threads:
            thread.start()
        entered.wait(10)
        step("meanwhile")
        go_on.wait(10)
        for thread in threads:
            thread.join()
        for steps in running:
            steps.close()

    assert captured["meanwhile"].parent_id == captured["request"].span_id
    for number in range(8):
        assert captured[f"a {number}"].parent_id == captured[f"inside {number}"].span_id


def test_ending_by_hand_does_not_let_go_before_the_with(captured):
    def generator() -> Iterator[int]:
        with clew.span("inside") as span:
            yield 1
            span.end()
            step("late")

    with clew.span("request"):
        list(generator())

    assert captured.tree() == {"request": {"inside": {"late": {}}}}


def test_the_same_span_entered_twice(captured):
    def generator() -> Iterator[int]:
        span = clew.span("inside")
        with span, span:
            yield 1

    with clew.span("request"):
        list(generator())
        step("after")

    assert captured.tree() == {"request": {"inside": {}, "after": {}}}


def test_a_traced_off_generator_holds_nothing(untouched):
    clew.configure(enabled=False)
    steps = inside("a")
    next(steps)
    assert not HELD
    steps.close()


def test_nothing_of_a_generator_is_kept_by_a_context_that_outlives_it(captured):
    class Heavy:
        pass

    def generator() -> Iterator[weakref.ref[Heavy]]:
        heavy = Heavy()
        with clew.span("inside"):
            contexts.append(copied())
            yield weakref.ref(heavy)

    def copied() -> contextvars.Context:
        with clew.span("helper"):
            return contextvars.copy_context()

    contexts: list[contextvars.Context] = []
    [gone] = list(generator())
    gc.collect()

    assert gone() is None
    assert contexts[0][CURRENT] is not None


@pytest.mark.skipif(sys.version_info < (3, 11), reason="TaskGroup came with 3.11")
async def test_a_task_group_inside_of_a_step(captured):
    async def child() -> None:
        await asyncio.sleep(0)
        step("child")

    async def generator() -> AsyncIterator[int]:
        with clew.span("inside"):
            yield 1
            async with asyncio.TaskGroup() as group:
                group.create_task(child())
            yield 2

    with clew.span("request"):
        async for _ in generator():
            pass

    assert captured.tree() == {"request": {"inside": {"child": {}}}}


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
async def test_eager_tasks(captured):
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)

    async def child() -> None:
        with clew.span("child"):
            await asyncio.sleep(0)
            step("leaf")

    async def generator() -> AsyncIterator[int]:
        with clew.span("inside"):
            yield 1
            await asyncio.gather(child())
            yield 2

    with clew.span("request"):
        steps = generator()
        await steps.__anext__()
        with clew.span("consumer"):
            await steps.__anext__()
        await steps.aclose()

    assert captured.tree() == {"request": {"inside": {"child": {"leaf": {}}}, "consumer": {}}}


async def test_a_task_group_of_anyio_inside_of_a_step(captured):
    anyio = pytest.importorskip("anyio")

    async def child(name: str) -> None:
        await anyio.sleep(0)
        step(name)

    async def generator() -> AsyncIterator[int]:
        with clew.span("inside"):
            yield 1
            async with anyio.create_task_group() as group:
                group.start_soon(child, "child")
            await anyio.to_thread.run_sync(step, "thread")
            yield 2

    with clew.span("request"):
        steps = generator()
        await steps.__anext__()
        with clew.span("consumer"):
            await steps.__anext__()
        await steps.aclose()

    assert captured.tree() == {"request": {"inside": {"child": {}, "thread": {}}, "consumer": {}}}


async def test_async_with_is_with(captured):
    """Others' spans are used so, and nobody should have to look up which."""

    async def steps() -> AsyncIterator[int]:
        async with clew.span("inside"):
            step("first")
            yield 1
            await asyncio.sleep(0)
            step("second")

    async with clew.span("request") as request:
        async for _ in steps():
            step("between")
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(clew.span("scope"))
            step("body")
    async with clew.tracing_context(request):
        step("late")
    step("free")

    inside = {"first": {}, "second": {}}
    scope = {"body": {}}
    assert captured.tree() == {"request": {"inside": inside, "between": {}, "scope": scope, "late": {}}, "free": {}}


async def test_async_with_gives_errors_on(captured):
    error = ValueError("the user's")
    with pytest.raises(ValueError) as raised:
        async with clew.span("fails"):
            raise error

    assert raised.value is error
    assert captured["fails"].status == "error"


async def test_async_with_works_while_tracing_is_off(untouched, monkeypatch):
    monkeypatch.setenv("CLEW_ENABLED", "0")
    async with clew.span("off") as span:
        assert not span


def test_a_delegates_cleanup_is_the_consumers_when_it_is_closed(captured):
    """
    A limit: `close` goes to the innermost generator without its frames being on the stack.

    So what a `yield from` stands around is not seen from the `finally` behind it. Nothing is lost
    or left behind, and with `throw`, or without `yield from`, it is the generator's.
    """

    def delegate() -> Iterator[int]:
        try:
            yield 1
        finally:
            step("cleanup")

    def steps() -> Iterator[int]:
        with clew.span("inside"):
            yield from delegate()

    with clew.span("request"):
        closed = steps()
        next(closed)
        closed.close()
        step("after")

    assert captured.tree() == {"request": {"inside": {}, "cleanup": {}, "after": {}}}


def test_a_span_entered_by_hand_in_a_helper_is_the_helpers_callers(captured):
    """A limit: no `with` says whose it is, so it is current until it is left, also between the steps."""

    class Helper:
        def start(self) -> None:
            self.span = clew.span("scope")
            self.span.__enter__()

        def stop(self) -> None:
            self.span.__exit__(None, None, None)

    def steps() -> Iterator[int]:
        helper = Helper()
        helper.start()
        yield 1
        step("second")
        helper.stop()
        yield 2

    with clew.span("request"):
        going = steps()
        next(going)
        step("between")
        next(going)
        step("after")
        going.close()

    assert captured.tree() == {"request": {"scope": {"between": {}, "second": {}}, "after": {}}}
