"""OpenTelemetry's API on Clew's spans: one current span for both, however a context is handed on."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry import baggage, context, propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, NonRecordingSpan, SpanContext, SpanKind, TraceFlags

import clew
import clew.otel
from clew.sdk.ambient import CURRENT, SUPPRESSED

REMOTE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(autouse=True)
def nothing_is_logged(caplog):
    """Above all no "Failed to detach context"."""
    yield
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert [text for text in said if "context" in text] == []


def test_both_are_parents_of_each_other(captured, otel):
    with clew.span("a"), otel.start_as_current_span("b"), clew.span("c"), otel.start_as_current_span("d"):
        pass

    assert captured.tree() == {"a": {"b": {"c": {"d": {}}}}}


def test_either_current_span_is_the_others(otel):
    with clew.span("a") as a:
        assert trace.get_current_span().get_span_context().span_id == int(a.span_id, 16)
        with otel.start_as_current_span("b") as b:
            assert trace.get_current_span() is b
            assert int(clew.current_span().span_id, 16) == b.get_span_context().span_id
        assert trace.get_current_span() is trace.get_current_span()
    assert trace.get_current_span() is INVALID_SPAN
    assert not clew.current_span()


def test_what_opentelemetry_says_of_clews_span_is_on_it(captured, otel):
    """Instrumentations enrich whatever span is current."""
    with clew.span("a"):
        shown = trace.get_current_span()
        assert shown.is_recording()
        shown.set_attribute("http.route", "/x")
        shown.add_event("seen", {"n": 1})
        shown.set_status(trace.StatusCode.ERROR, "no")
    a = captured["a"]

    assert a.attributes == {"http.route": "/x"}
    assert [(event.name, event.attributes) for event in a.events] == [("seen", {"n": 1})]
    assert (a.status, a.status_message, a.scope, a.otel_kind) == ("error", "no", "", "")


def test_clews_view_of_a_span_goes_on_where_events_were_noted_before(captured, otel):
    """A view must not replace what the span has noted already."""
    with clew.span("a") as a:
        a.event("first")
        trace.get_current_span().add_event("second")

    assert [event.name for event in captured["a"].events] == ["first", "second"]
    assert captured["a"].status == "ok"


def test_what_clew_says_of_opentelemetrys_span_is_on_it(captured, otel):
    with otel.start_as_current_span("b"):
        clew.current_span().set(model="m")
        clew.current_span().fail("why")

    assert captured["b"].attributes == {"model": "m"}
    assert (captured["b"].status, captured["b"].status_message) == ("error", "why")


def test_use_span_makes_it_current_for_both(captured, otel):
    span = otel.start_span("b")
    with trace.use_span(span, end_on_exit=True):
        assert trace.get_current_span() is span
        with clew.span("c"):
            pass
    with clew.span("after"):
        pass

    assert captured.tree() == {"b": {"c": {}}, "after": {}}


def test_a_given_context_wins_over_the_current_span(captured, otel):
    with clew.span("a"):
        there = context.get_current()
    with clew.span("other"):
        otel.start_span("by current", context=there).end()
        with otel.start_as_current_span("by with", context=there), clew.span("inside"):
            pass
        otel.start_span("root", context=Context()).end()

    assert captured.tree() == {"a": {"by current": {}, "by with": {"inside": {}}}, "other": {}, "root": {}}


def test_set_span_in_context_hands_a_span_on(captured, otel):
    span = otel.start_span("a")
    handed = trace.set_span_in_context(span)
    otel.start_span("b", context=handed).end()
    token = context.attach(handed)
    with clew.span("c"):
        pass
    context.detach(token)
    clew.span("d", parent=span).end()
    span.end()

    assert captured.tree() == {"a": {"b": {}, "c": {}, "d": {}}}


@pytest.mark.parametrize("give", [lambda span: span, lambda span: span.get_span_context()])
def test_any_opentelemetry_span_can_be_clews_parent(captured, untouched, give):
    """Also one of its SDK, and also where clew.otel was never asked."""
    from clew.sdk import setup

    setup.use(captured)
    remote = NonRecordingSpan(SpanContext(7, 8, is_remote=True, trace_flags=TraceFlags(1)))
    clew.span("a", parent=give(remote)).end()

    assert (int(captured["a"].trace_id, 16), int(captured["a"].parent_id, 16)) == (7, 8)


def test_a_remote_parent_is_extracted(captured, otel):
    arrived = propagate.extract({"traceparent": REMOTE, "tracestate": "v=1"})
    with otel.start_as_current_span("a", context=arrived, kind=SpanKind.SERVER) as a, clew.span("b"):
        sent: dict[str, str] = {}
        propagate.inject(sent)

    assert (captured["a"].trace_id, captured["a"].parent_id) == tuple(REMOTE.split("-")[1:3])
    assert sent["traceparent"] == f"00-{captured['b'].trace_id}-{captured['b'].span_id}-01"
    assert sent["tracestate"] == "v=1"
    assert a.get_span_context().trace_state.to_header() == "v=1"


def test_an_attached_remote_parent_is_clews(captured, otel):
    token = context.attach(propagate.extract({"traceparent": REMOTE}))
    assert clew.current_span().traceparent == REMOTE
    with clew.span("a"):
        pass
    context.detach(token)
    with clew.span("b"):
        pass

    assert captured["a"].parent_id == REMOTE.split("-")[2]
    assert captured["b"].parent_id is None


def test_clews_remote_parent_is_opentelemetrys(captured, otel):
    with clew.tracing_context(parent=REMOTE):
        assert trace.get_current_span().get_span_context().is_remote
        otel.start_span("a").end()

    assert captured["a"].parent_id == REMOTE.split("-")[2]


def test_inject_carries_clews_span(otel):
    """What HTTP clients' instrumentations send."""
    with clew.span("a") as a:
        sent: dict[str, str] = {}
        propagate.inject(sent)

    assert sent == {"traceparent": a.traceparent}


def test_baggage_goes_along_with_clews_spans(otel):
    token = context.attach(baggage.set_baggage("user", "u1"))
    with clew.span("a"), otel.start_as_current_span("b"):
        assert baggage.get_baggage("user") == "u1"
    context.detach(token)

    assert baggage.get_baggage("user") is None


def test_the_attached_context_itself_is_current(otel):
    """Code compares them."""
    wanted = baggage.set_baggage("user", "u1")
    with clew.span("a"):
        token = context.attach(context.set_value("k", 1))
        assert context.get_value("k") == 1
        context.detach(token)
    token = context.attach(wanted)
    assert context.get_current() is wanted
    context.detach(token)


def test_an_empty_context_is_a_new_beginning(captured, otel):
    with clew.span("a"):
        token = context.attach(Context())
        assert trace.get_current_span() is INVALID_SPAN
        with clew.span("b"):
            pass
        context.detach(token)
        with clew.span("c"):
            pass

    assert captured.tree() == {"a": {"c": {}}, "b": {}}


def test_contexts_are_detached_in_any_order(captured, otel):
    with clew.span("a"):
        first = context.attach(trace.set_span_in_context(otel.start_span("x"), baggage.set_baggage("of", "first")))
        second = context.attach(trace.set_span_in_context(otel.start_span("y")))
        context.detach(first)
        with clew.span("b"):
            pass
        context.detach(second)
        context.detach(second)
        assert baggage.get_baggage("of") is None
        with clew.span("c"):
            pass

    spans = {span.name: span for span in captured.spans}
    assert spans["c"].parent_id == spans["a"].span_id


async def test_a_context_is_detached_in_another_task(captured, otel):
    """Streams are begun in one task and closed in another: peers log "created in a different Context"."""
    tokens = []

    async def begin() -> None:
        tokens.append(context.attach(trace.set_span_in_context(otel.start_span("x"))))

    async def finish() -> None:
        context.detach(tokens[0])

    with clew.span("a"):
        await asyncio.create_task(begin())
        await asyncio.create_task(finish())
        context.detach(tokens[0])
        with clew.span("b"):
            pass

    assert captured.tree() == {"a": {"b": {}}}


async def test_tasks_threads_and_pools_keep_the_parent(captured, otel):
    def step(name: str) -> None:
        with otel.start_as_current_span(name):
            pass

    async def task() -> None:
        await asyncio.sleep(0)
        step("task")

    with otel.start_as_current_span("a"):
        await asyncio.gather(task(), asyncio.to_thread(step, "to_thread"))
        await asyncio.get_running_loop().run_in_executor(None, step, "executor")
        thread = threading.Thread(target=step, args=("thread",))
        thread.start()
        thread.join()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(step, "pool").result()
        contextvars.copy_context().run(step, "copy")

    assert set(captured.tree()["a"]) == {"task", "to_thread", "executor", "thread", "pool", "copy"}


@pytest.mark.parametrize("way", ["start_as_current_span", "use_span", "attach"])
def test_a_generator_keeps_its_span_to_itself(captured, otel, way):
    """Between its steps the consumer's spans are the consumer's."""

    def produce():
        if way == "start_as_current_span":
            with otel.start_as_current_span("inside"):
                yield from steps()
        elif way == "use_span":
            with trace.use_span(otel.start_span("inside"), end_on_exit=True):
                yield from steps()
        else:
            span = otel.start_span("inside")
            token = context.attach(trace.set_span_in_context(span, baggage.set_baggage("by", "it")))
            yield from steps()
            context.detach(token)
            span.end()

    def steps():
        for number in (1, 2):
            with clew.span(f"step {number}"):
                pass
            yield number

    with clew.span("consumer"):
        for number in produce():
            with otel.start_as_current_span(f"used {number}"):
                pass

    assert captured.tree() == {"consumer": {"inside": {"step 1": {}, "step 2": {}}, "used 1": {}, "used 2": {}}}


def test_a_suspended_generator_keeps_nothing_of_its_consumers(otel):
    """The consumer's baggage goes when the consumer detaches it, whatever was attached in between."""

    def produce():
        with trace.use_span(otel.start_span("inside"), end_on_exit=True):
            yield 1
            yield 2

    steps = produce()
    token = context.attach(baggage.set_baggage("user", "u1"))
    next(steps)
    context.detach(token)

    assert baggage.get_baggage("user") is None
    steps.close()


async def test_an_async_generator_may_be_closed_anywhere(captured, otel):
    async def produce():
        with trace.use_span(otel.start_span("inside"), end_on_exit=True):
            yield 1
            yield 2

    steps = produce()
    with clew.span("consumer"):
        await asyncio.create_task(steps.__anext__())
        await asyncio.create_task(steps.aclose())
        with clew.span("after"):
            pass

    assert captured.tree() == {"consumer": {"inside": {}, "after": {}}}


async def test_the_decorator_covers_each_call(captured, otel):
    @otel.start_as_current_span("sync")
    def sync() -> str:
        with clew.span("in sync"):
            return sync.__name__

    @otel.start_as_current_span("async")
    async def awaited() -> None:
        await asyncio.sleep(0)
        with clew.span("in async"):
            pass

    assert sync() == sync() == "sync"
    await awaited()

    assert sorted(span.name for span in captured.spans if span.parent_id is None) == ["async", "sync", "sync"]
    assert [span.name for span in captured.spans if span.parent_id is not None] == ["in sync", "in sync", "in async"]


def test_a_span_can_be_read_as_the_sdks_own(otel):
    """FastAPI's instrumentation asks the current span for its kind, which the API has not."""
    arrived = propagate.extract({"traceparent": REMOTE})
    span = otel.start_span("a", arrived, SpanKind.SERVER, {"k": 1}, start_time=1_763_700_000_000_000_000)
    span.set_status(trace.StatusCode.ERROR, "why")

    assert (span.name, span.kind, dict(span.attributes), span.start_time) == (
        "a",
        SpanKind.SERVER,
        {"k": 1},
        1_763_700_000_000_000_000,
    )
    assert (span.parent.span_id, span.parent.is_remote) == (int(REMOTE.split("-")[2], 16), True)
    assert (span.status.status_code, span.status.description) == (trace.StatusCode.ERROR, "why")
    assert (span.context, span.end_time) == (span.get_span_context(), None)
    span.end(1_763_700_000_000_000_009)
    assert span.end_time == 1_763_700_000_000_000_009
    with clew.span("b"):
        assert trace.get_current_span().kind is SpanKind.INTERNAL
        assert trace.get_current_span().parent is None


def test_the_provider_flushes_and_leaves_clew_running(captured, otel):
    """An application's shutdown hook is OpenTelemetry's business, and Clew has others' spans."""
    provider = trace.get_tracer_provider()
    otel.start_span("a").end()
    assert provider.force_flush()
    assert [span.name for body in captured.bodies for span in body.spans] == ["a"]
    provider.shutdown()
    otel.start_span("b").end()

    assert [span.name for span in captured.spans] == ["a", "b"]


def test_what_was_sent_is_let_go(captured, otel):
    """Spans that wait for the garbage collector make its pauses longer."""
    gc.collect()
    gc.disable()
    try:
        gone = []
        with otel.start_as_current_span("before"):
            gone.append(weakref.ref(trace.get_current_span()))
        with clew.span("a"), trace.use_span(otel.start_span("b"), end_on_exit=True) as span:
            gone += [weakref.ref(span), weakref.ref(trace.get_current_span())]
            with clew.span("c"), otel.start_as_current_span("d") as inner:
                gone += [weakref.ref(trace.get_current_span(context.get_current())), weakref.ref(inner)]
        del span, inner
        clew.flush()
        clew.span("next").end()
        clew.flush()
        assert [each() for each in gone] == [None] * len(gone)
    finally:
        gc.enable()


def test_clews_own_work_is_not_traced(captured, otel):
    """Not even where an instrumentation gives a context by hand."""
    before = CURRENT.set(SUPPRESSED)
    try:
        assert context.get_value(context._SUPPRESS_INSTRUMENTATION_KEY)
        token = context.attach(propagate.extract({"traceparent": REMOTE}))
        for given in (None, Context(), context.get_current()):
            with otel.start_as_current_span("x", context=given) as span:
                assert not span.is_recording()
        context.detach(token)
    finally:
        CURRENT.reset(before)

    assert captured.spans == []


def test_while_tracing_is_off_the_headers_are_handed_on(captured, otel):
    clew.shutdown()
    arrived = propagate.extract({"traceparent": REMOTE})
    with otel.start_as_current_span("a", context=arrived) as span:
        sent: dict[str, str] = {}
        propagate.inject(sent)

    assert not span.is_recording()
    assert sent == {"traceparent": REMOTE}
    assert trace.get_current_span() is INVALID_SPAN


def test_a_context_from_before_the_install_is_detached_as_it_was():
    """Installing in the middle of a request costs nobody a log line."""
    script = """
from opentelemetry import baggage, context
token = context.attach(baggage.set_baggage("k", "v"))
import clew.otel
clew.otel.install()
assert baggage.get_baggage("k") == "v"
clew.otel.install()
context.detach(token)
assert baggage.get_baggage("k") is None
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_without_opentelemetry_the_error_says_what_to_install():
    script = "import sys; sys.modules['opentelemetry'] = None\nimport clew.otel"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert "pip install 'clew[otel]'" in done.stderr


def test_clew_alone_loads_nothing_of_opentelemetry():
    """An optional extra costs nothing to those who do not use it."""
    script = """
import sys, clew
clew.configure(enabled=False)
with clew.span("a"):
    pass
assert "opentelemetry" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
