"""LangSmith's names on Clew's spans: the same code, the same values, the same tree."""

import _thread
import asyncio
import contextlib
import contextvars
import functools
import gc
import json
import os
import subprocess
import threading
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path

import langsmith_shapes
import pytest

import clew
import clew.events
import clew.langsmith as ls
from clew.sdk.ambient import SpanContext
from clew.sdk.run_payload import KINDS

ROOT = Path(__file__).parents[2]
REAL = ROOT / "bench" / ".venvs" / "langsmith" / "bin" / "python"
OWN_ATTRIBUTES = {"tags", "langsmith.span.kind", "langsmith.project"}


@pytest.fixture(scope="module")
def real():
    """What the real SDK made of the same code; its address leads nowhere."""
    if not REAL.exists():
        pytest.skip("the real langsmith is not installed; `make bench` installs it into bench/.venvs/langsmith")
    environment = {"PATH": os.environ["PATH"], "LANGSMITH_ENDPOINT": "http://127.0.0.1:9"}
    script = [str(REAL), langsmith_shapes.__file__]
    done = subprocess.run(script, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("shape", langsmith_shapes.SHAPES, ids=lambda shape: shape.__name__)
def test_code_for_langsmith_returns_the_same_and_makes_the_same_tree(shape, real, captured):
    """The promise: change the import, and nothing else."""
    returned = json.loads(json.dumps(shape(ls), default=str))

    assert returned == real[shape.__name__]["returned"]
    assert _told(captured.spans) == _comparable(real[shape.__name__]["runs"])


def _told(spans):
    names = {span.span_id: span.name for span in spans}
    runs = [
        {
            "name": span.name, "parent": names.get(span.parent_id), "kind": span.kind, "inputs": span.inputs,
            "outputs": span.outputs, "failed": span.status == "error", "tags": sorted(span.attributes.get("tags", [])),
            "metadata": {key: value for key, value in span.attributes.items() if key not in OWN_ATTRIBUTES},
        }
        for span in spans
    ]  # fmt: skip
    return _in_order(runs)


def _comparable(runs):
    return _in_order([{"kind": KINDS[run.pop("run_type")], **run} for run in runs])


def _in_order(runs):
    for run in runs:
        # An empty *args and the run itself are no inputs to Clew.
        run["inputs"] = {key: value for key, value in (run["inputs"] or {}).items() if value not in ([], None)}
    return sorted(runs, key=lambda run: json.dumps(run, sort_keys=True))


TARGET = {
    "chat_generation": {
        "get_rag_context": {
            "VectorStoreRetriever_user_messages": {},
            "VectorStoreRetriever_global_knowledge": {},
            "VectorStoreRetriever_documents": {},
        },
        "ChatOpenAI": {},
    }
}


def test_the_target_tree_of_a_rag_request(captured):
    """Code that hands its run on by hand, as it was written for LangSmith."""
    assert langsmith_shapes.the_issues_own(ls) == "WHY?"

    assert captured.tree() == TARGET


def test_the_target_tree_where_no_context_comes_along(captured):
    """Each retriever is asked on a thread that knows nothing of the request, so that only the run handed on counts."""

    @ls.traceable(run_type="retriever")
    async def search(name):
        return name

    async def retrieve(name, parent_run_tree=None):
        with ls.tracing_context(parent=parent_run_tree):
            return await search(name, langsmith_extra={"name": f"VectorStoreRetriever_{name}"})

    def elsewhere(name, run_tree):
        return contextvars.Context().run(asyncio.run, retrieve(name, parent_run_tree=run_tree))

    def on_a_bare_thread(name, run_tree):
        done = []
        lock = _thread.allocate_lock()
        lock.acquire()
        _thread.start_new_thread(lambda: (done.append(elsewhere(name, run_tree)), lock.release()), ())
        lock.acquire()
        return done

    with ls.trace("chat_generation"):
        with ls.trace("get_rag_context"):
            run_tree = ls.get_current_run_tree()
            for name in ("user_messages", "global_knowledge", "documents"):
                on_a_bare_thread(name, run_tree)
        with ls.trace("ChatOpenAI", "llm"):
            pass

    assert captured.tree() == TARGET


async def test_without_a_run_the_target_tree_is_the_ambient_one(captured):
    """`parent_run_tree=None` is the default of such methods."""

    @ls.traceable(run_type="retriever")
    async def search(name):
        return name

    async def retrieve(name, parent_run_tree=None):
        with ls.tracing_context(parent=parent_run_tree):
            return await search(name, langsmith_extra={"name": f"VectorStoreRetriever_{name}"})

    with ls.trace("chat_generation"):
        with clew.span("get_rag_context"):
            for name in ("user_messages", "global_knowledge", "documents"):
                await retrieve(name)
        with clew.span("ChatOpenAI"):
            pass

    assert captured.tree() == TARGET


def test_a_run_left_open_is_current_in_its_with_and_sent_when_it_is_ended(captured):
    """Streams end long after the block that began them."""
    with ls.trace("outer"):
        with ls.trace("stream", _end_on_exit=False) as run, ls.trace("inside"):
            pass
        with ls.trace("beside"):
            pass
    assert "stream" not in {span.name for span in captured.spans}

    run.end(outputs={"text": "all"})
    run.patch()

    assert captured.tree() == {"outer": {"stream": {"inside": {}}, "beside": {}}}
    assert captured["stream"].outputs == {"text": "all"}


def test_a_run_left_open_and_forgotten_is_sent_when_it_is_collected(captured):
    """Better late than lost."""
    with ls.trace("forgotten", _end_on_exit=False) as run:
        pass
    del run
    gc.collect()

    assert captured["forgotten"].status == "ok"


def test_what_leaves_a_run_that_stays_open_is_its_error(captured):
    error = ValueError("bad")
    with pytest.raises(ValueError) as raised, ls.trace("fails", _end_on_exit=False) as run:
        raise error
    run.patch()

    assert raised.value is error
    assert captured["fails"].status == "error"
    assert "bad" in captured["fails"].status_message


async def test_tracing_context_as_a_decorator(captured):
    """LangSmith's is contextlib's, so it decorates functions too; a coroutine is covered until its end."""

    @ls.tracing_context(tags=["t"])
    async def ask():
        await asyncio.sleep(0)
        with ls.trace("asked"):
            return ls.get_tracing_context()["tags"]

    @ls.tracing_context(tags=["g"])
    def steps():
        with ls.trace("step"):
            pass
        return (yield ls.get_tracing_context()["tags"])

    assert await asyncio.gather(ask(), ask()) == [["t"], ["t"]]
    for tags in steps():
        assert tags == ["g"]
        assert ls.get_tracing_context()["tags"] is None
    assert ask.__name__ == "ask"
    assert [span.attributes.get("tags") for span in captured.spans] == [["t"], ["t"], ["g"]]


def test_the_children_of_a_run_are_bounded(captured, caplog):
    """An agent may go on for days in one run."""
    with ls.trace("outer") as run:
        for _ in range(1002):
            ls.traceable(lambda: None)()

    assert len(captured.spans) == 1003
    assert len(run.child_runs) == 1000
    assert caplog.text.count("child_runs") == 1


def test_settings_do_not_leak_between_the_steps_of_a_generator(captured):
    """What a generator switches off, or sends to another project, is its own affair."""

    def steps():
        with ls.tracing_context(enabled=False, project_name="inner", tags=["inner"]):
            yield ls.get_tracing_context()["enabled"]
            with ls.trace("never made"):
                yield ls.get_tracing_context()["project_name"]

    with ls.tracing_context(project_name="outer"):
        going = steps()
        assert next(going) is False
        with ls.trace("between") as between:
            assert (between.session_name, between.tags) == ("outer", [])
            assert next(going) == "inner"
            with ls.tracing_context(tags=["deeper"]):
                assert ls.get_tracing_context()["tags"] == ["deeper"]
        del going
        assert ls.get_tracing_context()["project_name"] == "outer"

    assert captured.tree() == {"between": {}}


def test_settings_of_a_generator_are_taken_away_in_any_order(captured):
    """Another frame may get the address of one that is gone."""
    from clew.sdk.run_settings import _HELD

    def steps():
        first, second = ls.tracing_context(tags=["first"]), ls.tracing_context(tags=["second"])
        with contextlib.ExitStack() as stack:
            stack.enter_context(first)
            stack.enter_context(second)
            yield ls.get_tracing_context()["tags"]
            first.__exit__(None, None, None)
            yield ls.get_tracing_context()["tags"]
            second.__exit__(None, None, None)
            yield ls.get_tracing_context()["tags"]

    assert list(steps()) == [["first", "second"], ["first", "second"], None]
    abandoned = steps()
    next(abandoned)
    assert len(_HELD) == 1
    del abandoned
    gc.collect()
    assert not _HELD


async def test_settings_of_a_generator_reach_what_its_steps_start(captured):
    """Tasks and callbacks take a copy of the context, in which a generator's settings do not stand."""

    async def look():
        return ls.get_tracing_context()["tags"]

    async def steps():
        with ls.tracing_context(tags=["inner"]):
            yield await asyncio.create_task(look())
            with ls.tracing_context(tags=["innermost"]):
                yield await asyncio.gather(look())
            yield contextvars.copy_context().run(lambda: ls.get_tracing_context()["tags"])

    found = []
    async for tags in steps():
        found.append(tags)
        assert ls.get_tracing_context()["tags"] is None
        assert await asyncio.create_task(look()) is None

    assert found == [["inner"], [["inner", "innermost"]], ["inner"]]


def test_an_explicit_parent_crosses_what_the_context_does_not(captured):
    """The pattern of the code this is for: the run is fetched here and handed on to a method there."""

    class VectorStorage:
        async def get_similar_user_messages(self, text, parent_run_tree=None):
            with ls.tracing_context(parent=parent_run_tree):
                return await self.search(text)

        @ls.traceable(run_type="retriever")
        async def search(self, text):
            return [text]

    @ls.traceable
    async def answer(question):
        run_tree = ls.get_current_run_tree()
        call = VectorStorage().get_similar_user_messages(question, parent_run_tree=run_tree)
        # A context of its own, as a callback of some framework has: nothing is ambient there.
        return await contextvars.Context().run(asyncio.get_running_loop().create_task, call)

    assert asyncio.run(answer("why?")) == ["why?"]
    assert captured.tree() == {"answer": {"search": {}}}
    assert captured["search"].kind == "retrieval"


def test_no_explicit_parent_means_the_ambient_one(captured):
    """`parent=None` is what such code passes when it has none; a tree must not fall apart for that."""
    with clew.span("request"), ls.tracing_context(parent=None), ls.trace("step", parent=None):
        ls.traceable(lambda: None, name="call")(langsmith_extra={"parent": None})

    assert captured.tree() == {"request": {"step": {"call": {}}}}


@pytest.mark.parametrize("nothing", [False, "ignore"])
def test_a_new_trace_can_be_begun_anywhere(captured, nothing):
    """Background work that a request starts is not a part of it."""
    with clew.span("request"):
        with ls.tracing_context(parent=nothing), ls.trace("by context"):
            pass
        with ls.trace("by argument", parent=nothing):
            pass

    assert {span.name for span in captured.spans if span.parent_id is None} == {"request", "by context", "by argument"}


def _parents(span, run):
    yield "a run", run
    yield "a span", span
    yield "a context", SpanContext(span.trace_id, span.span_id)
    yield "a traceparent", span.traceparent
    yield "a dotted order", run.dotted_order
    yield "own headers", run.to_headers()
    yield "W3C headers", {"Traceparent": span.traceparent}
    yield "ASGI headers", {b"langsmith-trace": run.dotted_order.encode()}
    yield "bytes", run.dotted_order.encode()
    yield "a foreign run", type("RunTree", (), {"dotted_order": run.dotted_order})()


def test_a_parent_may_be_whatever_names_a_span(captured):
    """Code passes what it has: an object in one process, a header between two."""
    with ls.trace("upper"), ls.trace("parent") as run:
        parents = dict(_parents(run.__clew_span__, run))
    for name, parent in parents.items():
        with ls.trace(f"trace: {name}", parent=parent):
            pass
        with ls.tracing_context(parent=parent):
            ls.traceable(lambda: None, name=f"context: {name}")()
        ls.traceable(lambda: None, name=f"call: {name}")(langsmith_extra={"parent": parent})

    children = captured.tree()["upper"]["parent"]
    assert set(children) == {f"{how}: {name}" for how in ("trace", "context", "call") for name in parents}


@pytest.mark.parametrize(
    "parent", ["nonsense", "a.b.c", 7, {}, {"traceparent": "x"}, object(), b"\xff", uuid.UUID(int=0)]
)
def test_what_is_no_parent_leaves_the_ambient_one(captured, parent):
    """A broken header from outside must neither raise nor tear the trace apart."""
    with ls.trace("request"), ls.trace("step", parent=parent), ls.tracing_context(parent=parent), ls.trace("deeper"):
        pass

    assert captured.tree() == {"request": {"step": {"deeper": {}}}}


def test_runs_and_spans_are_one_tree(captured):
    """A program is changed over piece by piece."""

    @ls.traceable
    def run():
        clew.current_span().set(native=1)
        clew.current_span().outputs = "said natively"
        with clew.span("span inside"):
            ls.get_current_run_tree().add_metadata({"of": "the span"})
            with ls.trace("trace"):
                pass

    with clew.span("request") as request:
        run()
        with clew.span("by run as parent", parent=ls.get_current_run_tree()):
            pass
        seen = ls.get_current_run_tree()
        seen.end(outputs={"answer": 1})

    assert captured.tree() == {"request": {"run": {"span inside": {"trace": {}}}, "by run as parent": {}}}
    assert (captured["run"].attributes, captured["run"].outputs) == ({"native": 1}, "said natively")
    assert captured["span inside"].attributes == {"of": "the span"}
    assert captured["request"].outputs == {"answer": 1}, "a view hands on, and leaves the end to the span's owner"
    assert (seen.name, str(seen.trace_id)) == ("request", str(uuid.UUID(request.trace_id)))


def test_ids_are_the_spans_ids(captured):
    """Feedback and links are made from a run's id, and must find the span."""
    chosen = uuid.uuid4()
    with ls.trace("root") as root, ls.trace("child", run_id=chosen) as child:
        pass
    ls.traceable(lambda: None, name="called")(langsmith_extra={"run_id": str(chosen)})

    assert root.id == root.trace_id == uuid.UUID(captured["root"].trace_id)
    assert root.id.bytes[8:].hex() == captured["root"].span_id
    assert child.id == chosen
    assert (child.trace_id, child.parent_run_id, child.parent_run) == (root.id, root.id, root)
    assert captured["child"].span_id == chosen.bytes[8:].hex()
    assert captured["child"].parent_id == captured["root"].span_id
    assert uuid.UUID(captured["called"].trace_id) == chosen
    assert root.dotted_order == child.dotted_order.rpartition(".")[0]


def test_whoever_listens_for_tools_is_told_the_same_ids_at_both_ends(captured):
    """A run's ids are set after its span has begun."""
    events = []
    with clew.events.subscribe(events.append), ls.trace("tool", "tool", run_id=uuid.uuid4()):
        pass

    assert [event.type for event in events] == ["tool_start", "tool_end"]
    assert {event.span_id for event in events} == {captured["tool"].span_id}


@pytest.mark.parametrize(("run_type", "kind"), [*KINDS.items(), ("strange", "other"), (None, "chain"), ("", "chain")])
def test_each_run_type_has_its_kind(captured, run_type, kind):
    """What the page filters by."""
    ls.traceable(run_type=run_type, name="run")(lambda: None)()

    assert captured["run"].kind == kind


def test_metadata_becomes_what_conventions_read(captured):
    """Model, tokens, cost and session are counted by; LangSmith has names of its own for them."""

    @ls.traceable(run_type="llm", metadata={"ls_model_name": "gpt-5-mini", "ls_provider": "openai"})
    def model():
        tool()
        return {"text": "hi", "usage_metadata": {"input_tokens": 3, "output_tokens": 4, "total_cost": 0.1}}

    @ls.traceable(run_type="tool")
    def tool():
        pass

    with ls.tracing_context(metadata={"thread_id": "t1"}):
        model()

    attributes = captured["model"].attributes
    assert {"ls_model_name": "gpt-5-mini", "session_id": "t1"}.items() <= attributes.items()
    assert (attributes["input_tokens"], attributes["output_tokens"], attributes["cost_usd"]) == (3, 4, 0.1)
    assert captured["tool"].attributes == {"thread_id": "t1", "session_id": "t1"}, "the model's own facts stay its own"


def test_usage_set_on_the_run_counts_as_well(captured):
    """`run.set(usage_metadata=...)` is how wrappers of models say it; outputs that are set stay."""

    @ls.traceable(run_type="llm")
    def model(run_tree):
        run_tree.set(usage_metadata={"input_tokens": 5}, outputs={"chosen": 1}, tags=["x"], unheard_of=1)
        return "not this"

    assert model() == "not this"
    assert captured["model"].attributes["input_tokens"] == 5
    assert captured["model"].outputs == {"chosen": 1}


def test_the_first_token_of_a_model_is_timed(captured):
    """The figure that users of chat feel."""

    @ls.traceable(run_type="llm")
    def model():
        yield "a"
        yield "b"

    assert list(model()) == ["a", "b"]
    assert captured["model"].outputs == "ab"
    assert captured["model"].attributes["first_token_ms"] >= 0


def test_a_generator_is_current_inside_and_not_outside(captured):
    """Otherwise the consumer's own spans would become the generator's children."""

    @ls.traceable
    def numbers(run_tree=None):
        with ls.trace("held across a yield"):
            yield run_tree.name
        with ls.trace("inside"):
            pass
        sent = yield 2
        assert sent == "sent"
        return "result"

    with clew.span("consumer"):
        steps = numbers()
        first = next(steps)
        with clew.span("between"):
            next(steps)
        with pytest.raises(StopIteration) as stop:
            steps.send("sent")

    assert (first, stop.value.value) == ("numbers", "result")
    assert captured.tree() == {"consumer": {"numbers": {"held across a yield": {}, "inside": {}}, "between": {}}}
    assert captured["numbers"].outputs == ["numbers", 2, "result"]


async def test_an_async_generator_that_is_broken_off_is_no_failure(captured):
    """Users stop listening to an answer all the time."""

    @ls.traceable(reduce_fn=lambda items: {"text": "".join(items)})
    async def answer():
        for piece in ("a", "b", "c"):
            yield piece

    pieces = answer()
    assert [await pieces.__anext__(), await pieces.__anext__()] == ["a", "b"]
    await pieces.aclose()

    assert captured["answer"].outputs == {"text": "ab"}
    assert captured["answer"].status == "ok"


def test_what_a_generator_raises_is_its_error(captured):
    """With what it had yielded so far."""

    @ls.traceable
    def broken():
        yield 1
        raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        list(broken())

    assert (captured["broken"].status, captured["broken"].status_message) == ("error", "in the middle")
    assert captured["broken"].outputs == [1]


class Feed:
    """As clients of models give streams: iterable, with attributes, and a context manager."""

    model = "m"

    def __init__(self):
        self.items = iter(["a", "b"])
        self.closed = False

    def __iter__(self):
        return self.items

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed = True

    def __aiter__(self):
        return self

    async def __anext__(self):
        try:
            return next(self.items)
        except StopIteration:
            raise StopAsyncIteration from None


def test_a_returned_stream_lasts_until_it_is_read(captured):
    """The function has returned long before the answer is there."""
    feed = Feed()
    stream = ls.traceable(lambda: feed, name="stream", reduce_fn="".join)()

    assert captured.spans == []
    with stream as entered:
        assert (entered.model, next(entered)) == ("m", "a")
        assert ls.get_current_run_tree() is None
    assert feed.closed
    assert captured["stream"].outputs == "a"


async def test_an_async_stream_lasts_until_it_is_read(captured):
    """The same for what async clients return."""

    class AsyncFeed(Feed):
        __iter__ = None

    @ls.traceable(name="stream", reduce_fn="".join)
    async def ask():
        feed = AsyncFeed()
        del feed.closed
        return feed

    assert [item async for item in await ask()] == ["a", "b"]
    assert captured["stream"].outputs == "ab"


def test_a_stream_that_nobody_reads_ends_when_it_is_collected(captured):
    """A lost span would be worse."""
    stream = ls.traceable(Feed, name="stream", reduce_fn="".join)()
    del stream
    gc.collect()

    assert captured["stream"].status == "ok"


def test_what_is_no_stream_comes_back_as_it_is(captured):
    """A function with reduce_fn may answer from a cache, with a list or a text."""
    items = [1, 2]
    assert ls.traceable(lambda: items, name="list", reduce_fn=sum)() is items
    assert ls.traceable(lambda: "text", name="text", reduce_fn=sum)() == "text"
    assert (captured["list"].outputs, captured["text"].outputs) == (3, "text")


def test_users_exceptions_pass_as_the_same_object(captured):
    """Handlers compare, and tracebacks are read."""
    raised = ValueError("mine")

    def throw():
        raise raised

    for function in (ls.traceable(throw), ls.traceable(throw, reduce_fn=list)):
        with pytest.raises(ValueError, match="mine") as caught:
            function()
        assert caught.value is raised
    with pytest.raises(ValueError, match="mine") as caught, ls.trace("with"):
        throw()
    assert caught.value is raised
    assert {span.status_message for span in captured.spans} == {"mine"}


class Hostile:
    """Fails at whatever is asked of it."""

    def _fail(self, *_):
        raise ZeroDivisionError("hostile")

    __bool__ = __len__ = __iter__ = __eq__ = __hash__ = __str__ = __repr__ = __getattr__ = __format__ = _fail


HOSTILE = pytest.param(Hostile(), id="hostile")


def _broken(*_):
    raise ZeroDivisionError("the user's hook")


@pytest.mark.parametrize(
    ("options", "lost"),
    [
        ({"process_inputs": _broken}, "inputs"),
        ({"process_outputs": _broken}, "outputs"),
        ({"metadata": 7}, None),
        ({"tags": 7}, None),
        ({"exceptions_to_handle": "no class"}, None),
        ({"project_name": object()}, None),
        ({"unheard_of": 1, "client": object(), "dangerously_allow_filesystem": True}, None),
        ({"name": 7, "run_type": 8}, None),
    ],
    ids=str,
)
def test_no_option_breaks_the_call(captured, options, lost):
    """Tracing is never worth the request. A hook that fails may have been there to keep a secret."""

    @ls.traceable(**options)
    def step(secret):
        if secret == "raise":
            raise KeyError(secret)
        return secret

    assert step("s3cret") == "s3cret"
    with pytest.raises(KeyError):
        step("raise")
    if lost is not None:
        assert "s3cret" not in json.dumps([getattr(span, lost) for span in captured.spans])


@pytest.mark.parametrize(
    "extra",
    [
        7,
        [],
        {"on_end": _broken, "_on_success": _broken},
        {"run_id": "no uuid"},
        {"run_id": uuid.UUID(int=1 << 64)},
        {"metadata": "text", "tags": 9},
        {"unheard_of": 1, "parent": object(), "run_tree": 4},
    ],
    ids=str,
)
def test_nothing_in_langsmith_extra_breaks_the_call(captured, extra):
    """What is wrong is logged."""
    assert ls.traceable(lambda x: x, name="step")(1, langsmith_extra=extra) == 1


@pytest.mark.parametrize(
    "given", [{"inputs": object()}, {"tags": 3}, {"metadata": 3}, {"run_id": "x"}, {"odd": 1}], ids=str
)
def test_no_argument_of_trace_breaks_the_with(captured, given):
    """The same for `trace`, `tracing_context` and a run made by hand."""
    done = []
    with ls.trace("step", **given) as run, ls.tracing_context(**given):
        run.end(outputs=object(), metadata={1: 2}, unheard_of=1)
        done.append(run.to_headers())
    hand = ls.RunTree(name="by hand", **given)
    hand.end()
    hand.patch()
    assert done


OPTIONS = (
    "inputs tags metadata run_id parent project_name parent_run name run_type extra reference_example_id "
    "exceptions_to_handle enabled on_end process_inputs start_time"
)


@pytest.mark.parametrize("option", OPTIONS.split())
def test_no_value_of_any_option_breaks_the_call(captured, option):
    """Whatever a user's object does when it is looked at."""
    given = {option: Hostile()}
    assert ls.traceable(**given)(lambda x: x)(1) == 1
    assert list(ls.traceable(**given)(_two)()) == [1, 2]
    for extra in (given, Hostile()):
        assert ls.traceable(lambda x: x)(1, langsmith_extra=extra) == 1
        assert list(ls.traceable(_two)(langsmith_extra=extra)) == [1, 2]
    with ls.tracing_context(**given), ls.trace(**{"name": "step", **given}) as run:
        run.to_headers()
    hand = ls.RunTree(**{"name": "by hand", **given})
    hand.create_child(**{"name": "child", **given}).patch()
    hand.patch()


@pytest.mark.parametrize("junk", [7, object(), "text", [1, None], {1: object()}, b"\xff", ValueError, HOSTILE], ids=str)
def test_nothing_that_is_said_of_a_run_breaks_it(captured, junk):
    """Values come from models and users; the run is kept as far as it can be."""
    with ls.trace("step", "tool", tags=["t"], metadata={"k": 1}) as run:
        for call in (run.add_tags, run.add_metadata, run.add_inputs, run.add_outputs, run.add_event):
            call(junk)
        run.set(tags=junk, metadata=junk, inputs=junk, outputs=junk, usage_metadata=junk)
        run.end(outputs=junk, error=junk, end_time=junk, events=junk, metadata=junk)
        child = run.create_child("child", junk, extra=junk, tags=junk, start_time=junk, end_time=junk, run_id=junk)
        child.patch()
        for name in ("name", "tags", "inputs", "outputs", "error", "end_time", "run_type"):
            setattr(run, name, junk)
        run.to_headers()
        run.extra = junk
        run.metadata["after"] = 1
    ls.set_run_metadata(outside=junk)

    assert len(captured.spans) == 2
    assert all(span.attributes is not None for span in captured.spans)


def test_an_unknown_argument_is_complained_of_once(captured, caplog):
    """A loop must not fill the log."""
    for _ in range(3):
        with ls.trace("step", unheard_of=1), ls.tracing_context(unheard_of=1):
            pass

    clew.flush()
    assert len([record for record in caplog.records if "unheard_of" in record.message]) == 2


def test_runs_can_be_off_for_a_block_or_a_function(captured):
    """A block that handles secrets; a function that is called a million times."""
    silent = ls.traceable(lambda run_tree=None: run_tree, name="silent", enabled=False)
    loud = ls.traceable(lambda: 2, name="loud", enabled=True)
    with ls.trace("request"):
        assert silent() is None
        with ls.tracing_context(enabled=False):
            assert ls.traceable(lambda: 1)() == 1
            assert list(ls.traceable(_two)()) == [1, 2]
            assert list(ls.traceable(lambda: iter([1]), reduce_fn=sum)()) == [1]
            with ls.trace("off", inputs={"x": 1}) as off:
                assert (off.inputs, off.name) == ({"x": 1}, "off")
            assert loud() == 2

    assert captured.tree() == {"request": {"loud": {}}}


def _two():
    yield 1
    yield 2


def test_with_tracing_off_everything_works(untouched, monkeypatch):
    """CLEW_ENABLED=0 in tests and in production's emergencies."""
    monkeypatch.setenv("CLEW_ENABLED", "0")
    for shape in langsmith_shapes.SHAPES:
        if shape.__name__ not in OFF_DIFFERS:
            shape(ls)
    assert ls.traceable(lambda x: x)(3) == 3
    with ls.trace("off", inputs={"q": 1}) as run:
        assert ls.get_current_run_tree() is None
        run.end(outputs={"a": 1})
    assert (run.outputs, run.trace_id, run.parent_run_id) == ({"a": 1}, run.id, None)
    assert run.create_child("by hand") in run.child_runs
    assert list(ls.traceable(_two)()) == [1, 2]


OFF_DIFFERS = {"children", "filled_in", "generators", "separate_traces"}
"""These use the current run, which is None while tracing is off, as with LangSmith."""


def test_a_run_made_by_hand_keeps_its_own_times(captured):
    """Importers of old logs give times; `end` without `patch` is sent all the same."""
    began = datetime(2026, 1, 31, 10, 15, tzinfo=timezone.utc)
    run = ls.RunTree(name="imported", start_time=began)
    run.end(outputs={"a": 1}, end_time=began + timedelta(seconds=2))
    run.patch()
    run.patch()
    forgotten = ls.RunTree(name="forgotten")
    forgotten.end()
    del forgotten
    gc.collect()

    span = captured["imported"]
    assert abs(span.end_ns - span.start_ns - 2_000_000_000) < 50_000_000
    assert abs(span.start_ns / 1e9 - began.timestamp()) < 1
    assert (run.start_time, captured["forgotten"].status) == (began, "ok")


def test_a_run_that_said_its_end_inside_of_its_with_ended_then(captured):
    """`run.end()` is where LangSmith takes the time."""
    with ls.trace("step") as run:
        run.end()
        with clew.span("after"):
            pass

    assert captured["step"].end_ns <= captured["after"].start_ns


def test_baggage_carries_metadata_and_tags(captured):
    """The server's runs are found by the client's session."""
    with ls.trace("client", metadata={"session_id": "s1"}, tags=["beta"]) as run:
        sent = run.to_headers()
    with ls.tracing_context(parent=sent), ls.trace("server") as served:
        pass
    read = ls.RunTree.from_headers(sent)

    assert captured["server"].attributes["session_id"] == "s1"
    assert served.tags == ["beta"]
    assert (read.id, read.metadata, read.tags) == (run.id, {"session_id": "s1"}, ["beta"])
    assert ls.RunTree.from_headers({"accept": "*/*"}) is None
    assert ls.RunTree.from_dotted_order(run.dotted_order).dotted_order == run.dotted_order


def test_a_context_can_be_taken_and_set_again(captured):
    """How LangSmith's users carry a context into a thread."""

    def work(context):
        with ls.tracing_context(**context):
            ls.traceable(lambda: None, name="in thread")()

    with ls.tracing_context(tags=["t"], metadata={"k": 1}), ls.trace("request"):
        thread = threading.Thread(target=work, args=(ls.get_tracing_context(),))
        thread.start()
        thread.join()
        copied = ls.get_tracing_context(contextvars.copy_context())

    assert captured.tree() == {"request": {"in thread": {}}}
    assert captured["in thread"].attributes == {"k": 1, "tags": ["t"]}
    assert (copied["tags"], copied["metadata"]) == (["t"], {"k": 1})
    assert ls.get_tracing_context()["parent"] is None


def test_any_callable_can_be_traced(captured):
    """Methods of every sort, partials, objects; frameworks look at what they are."""

    class Tool:
        @ls.traceable
        @staticmethod
        def static(x):
            return x

        @classmethod
        @ls.traceable
        def of_class(cls, x):
            return x

        def __call__(self, x):
            return x

    assert (Tool.static(1), Tool().of_class(2)) == (1, 2)
    assert ls.traceable(functools.partial(max, 1))(5) == 5
    assert ls.traceable(Tool())(3) == 3
    assert ls.traceable(len)([1]) == 1
    assert ls.is_traceable_function(functools.partial(Tool.static))
    assert sorted(span.name for span in captured.spans) == ["Tool", "len", "max", "of_class", "static"]
    assert captured["of_class"].inputs == {"x": 2}


def test_a_config_that_the_function_does_not_take_is_dropped(captured):
    """LangChain's runnables pass one to each traceable function."""
    assert ls.traceable(lambda x: x)(1, config={"callbacks": []}) == 1
    assert ls.traceable(lambda x, config=None: config)(1, config={"a": 1}) == {"a": 1}


def test_runs_do_not_stay_in_memory(captured):
    """One for each call, in a process that runs for months."""
    from clew.sdk.runs import RUNS

    for _ in range(10):
        ls.traceable(lambda: None)()
    gc.collect()

    assert len(RUNS) == 0
