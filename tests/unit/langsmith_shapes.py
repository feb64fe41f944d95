"""
Code as it is written for LangSmith's SDK, run against that and against `clew.langsmith`.

As a script, by an interpreter that has langsmith: prints as JSON what the calls returned, and the
runs that were made. It needs no network: the client is a stub.
"""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from typing import Any

RUN_ID = uuid.UUID("01890a5d-ac96-774b-bcce-b302099a8057")


class Storage:
    """Takes its parent explicitly, as code does whose callers change threads."""

    def __init__(self, api: Any) -> None:
        self.api = api

    async def get_similar_user_messages(self, text: str, parent_run_tree: Any = None) -> list[str]:
        with self.api.tracing_context(parent=parent_run_tree):
            return await asyncio.create_task(
                self.api.traceable(run_type="retriever", name="similar")(self.look_up)(text)
            )

    async def look_up(self, text: str, *, k: int = 2) -> list[str]:
        return [text] * k


def explicit_parent(api: Any) -> Any:
    storage = Storage(api)

    @api.traceable(name="answer")
    async def answer(question: str) -> list[list[str]]:
        run_tree = api.get_current_run_tree()
        with api.trace("between", "tool"):
            given = await storage.get_similar_user_messages(question, parent_run_tree=run_tree)
            ambient = await storage.get_similar_user_messages(question, parent_run_tree=None)
        return [given, ambient]

    return asyncio.run(answer("why?"))


def decorator_forms(api: Any) -> Any:
    @api.traceable
    def bare(x: int, y: int = 2, *rest: int, flag: bool = False, **more: Any) -> int:
        return x + y

    @api.traceable("tool", name="named", tags=["t"], metadata={"version": "1"})
    def named(x: int) -> dict[str, int]:
        return {"x": x}

    class Holder:
        @api.traceable(run_type="llm")
        def method(self, prompt: str) -> str:
            return prompt.upper()

    return [bare(1), bare(1, 5, 6, flag=True, other="o"), named(3), Holder().method("hi")]


def call_time_extra(api: Any) -> Any:
    told: list[Any] = []

    @api.traceable(metadata={"fixed": "f"}, tags=["of-decorator"])
    def step(x: int) -> int:
        inner(x)
        return x

    @api.traceable
    def inner(x: int) -> int:
        return x

    extra = {"name": "renamed", "metadata": {"k": "v"}, "tags": ["of-call"], "run_id": RUN_ID}
    result = step(1, langsmith_extra={**extra, "on_end": lambda run: told.append([run.name, run.outputs])})
    return [result, told]


def filled_in(api: Any) -> Any:
    @api.traceable(name="filled")
    def step(x: int, run_tree: Any = None) -> list[Any]:
        run_tree.add_metadata({"late": 1})
        run_tree.metadata["later"] = 2
        run_tree.add_tags(["late"])
        return [run_tree.name, run_tree.run_type, run_tree.id == run_tree.trace_id]

    return step(1)


def context_manager(api: Any) -> Any:
    with api.trace("outer", run_type="chain", inputs={"q": 1}, tags=["a"], metadata={"k": "outer"}) as run:
        with api.trace("nested", "llm", tags=["b"], metadata={"k": "nested", "n": 1}) as nested:
            nested.end(outputs={"text": "hello"})
        run.add_outputs({"a": 1})
        run.end(outputs={"b": 2}, metadata={"m": 3})
    parents = [nested.parent_run_id == run.id, nested.trace_id == run.trace_id]
    return [run.inputs, run.outputs, sorted(run.tags), sorted(nested.tags), nested.error, *parents]


def async_context_manager(api: Any) -> Any:
    async def main() -> Any:
        async with api.trace("outer async") as run:
            async with api.trace("nested async") as nested:
                nested.end(outputs={"n": 1})
            return [api.get_current_run_tree() is run, nested.outputs]

    return asyncio.run(main())


def failing(api: Any) -> Any:
    @api.traceable(name="raises")
    def raises() -> None:
        raise ValueError("bad")

    @api.traceable(name="handled", exceptions_to_handle=(KeyError,))
    def handled() -> None:
        raise KeyError("fine")

    seen = []
    for function in (raises, handled):
        try:
            function()
        except (ValueError, KeyError) as error:
            seen.append(repr(error))
    try:
        with api.trace("raises in with") as run:
            raise ValueError("worse")  # noqa: TRY301
    except ValueError:
        seen.append(run.error.startswith("ValueError('worse')"))
    return seen


def processing(api: Any) -> Any:
    @api.traceable(
        name="processed",
        process_inputs=lambda inputs: {"question": inputs["question"][:3]},
        process_outputs=lambda output: {"answer": output[:3]},
    )
    def step(question: str, secret: str) -> str:
        return question

    return step("a long question", secret="s")


def generators(api: Any) -> Any:
    @api.traceable(name="reduced", reduce_fn="".join, process_chunk=str.upper)
    def reduced() -> Any:
        yield "a"
        inside = api.get_current_run_tree()
        yield inside.name[0]
        return None

    @api.traceable(name="counted")
    async def counted(n: int) -> Any:
        for i in range(n):
            yield i

    @api.traceable(name="streamed", reduce_fn=sum)
    def streamed() -> Any:
        return iter([1, 2, 3])

    async def collect() -> list[int]:
        return [item async for item in counted(3)]

    with api.trace("consumer"):
        return [list(reduced()), asyncio.run(collect()), list(streamed())]


def separate_traces(api: Any) -> Any:
    @api.traceable(name="apart")
    def step() -> str:
        return str(api.get_current_run_tree().parent_run_id)

    with api.trace("here"), api.tracing_context(parent=False):
        return step()


def headers(api: Any) -> Any:
    with api.trace("client") as run:
        sent = run.to_headers()
    with api.tracing_context(parent=sent), api.trace("server") as served:
        pass
    with api.trace("by dotted order", parent=run.dotted_order):
        pass
    return [served.trace_id == run.trace_id, served.parent_run_id == run.id, "langsmith-trace" in sent]


def inherited(api: Any) -> Any:
    context = api.tracing_context(tags=["ctx"], metadata={"session_id": "s1"})
    with context, api.trace("under context") as run, api.trace("deeper") as deeper:
        pass
    return [sorted(deeper.tags), run.metadata["session_id"], deeper.metadata["session_id"]]


def by_hand(api: Any) -> Any:
    run = api.RunTree(name="by hand", run_type="chain", inputs={"q": 1}, **stub(api))
    run.post()
    child = run.create_child(name="child", run_type="tool", inputs={"c": 1})
    child.post()
    child.end(outputs={"done": True})
    child.patch()
    run.end(outputs={"a": 1}, error="it failed")
    run.patch()
    return [child.parent_run_id == run.id, child.trace_id == run.trace_id, run.error]


def questions(api: Any) -> Any:
    @api.traceable
    def step() -> None:
        api.set_run_metadata(set_inside="yes")

    step()
    plain = [api.is_traceable_function(step), api.is_traceable_function(len), api.get_current_run_tree()]
    return [*plain, api.ensure_traceable(step) is step]


def ended_later(api: Any) -> Any:
    with api.trace("kept open", "llm", inputs={"q": 1}, _end_on_exit=False) as run, api.trace("inside"):
        pass
    before = [run.end_time is None, api.get_current_run_tree()]
    run.end(outputs={"a": 1})
    run.patch()
    try:
        with api.trace("fails, kept open", _end_on_exit=False) as failed:
            int("bad")
    except ValueError:
        failed.patch()
    return [*before, run.outputs, failed.error is not None]


def context_as_decorator(api: Any) -> Any:
    @api.tracing_context(tags=["t"], metadata={"k": "v"})
    def decorated(x: int) -> list[Any]:
        with api.trace("inside") as run:
            return [x, sorted(run.tags), run.metadata["k"]]

    with api.trace("outer"):
        return [decorated(1), decorated(2)]


def children(api: Any) -> Any:
    @api.traceable
    def step() -> None:
        pass

    with api.trace("outer") as run:
        with api.trace("first"), api.trace("deeper"):
            pass
        step()
        by_hand = run.create_child("by hand", "tool", inputs={})
        by_hand.post()
        by_hand.end(outputs={"o": 1})
        by_hand.patch()
    return [[child.name for child in run.child_runs], [child.name for child in run.child_runs[0].child_runs]]


def the_issues_own(api: Any) -> Any:
    class VectorStorage:
        @api.traceable(run_type="retriever", name="VectorStoreRetriever_user_messages")
        async def search_user_messages(self, text: str) -> list[str]:
            await asyncio.sleep(0)
            return [text]

        @api.traceable(run_type="retriever", name="VectorStoreRetriever_global_knowledge")
        async def search_global_knowledge(self, text: str) -> list[str]:
            await asyncio.sleep(0)
            return [text]

        @api.traceable(run_type="retriever", name="VectorStoreRetriever_documents")
        async def search_documents(self, text: str) -> list[str]:
            await asyncio.sleep(0)
            return [text]

        async def get_similar_user_messages(self, text: str, parent_run_tree: Any = None) -> list[str]:
            with api.tracing_context(parent=parent_run_tree):
                return await self.search_user_messages(text)

        async def get_global_knowledge(self, text: str, parent_run_tree: Any = None) -> list[str]:
            with api.tracing_context(parent=parent_run_tree):
                return await self.search_global_knowledge(text)

        async def get_documents(self, text: str, parent_run_tree: Any = None) -> list[str]:
            with api.tracing_context(parent=parent_run_tree):
                return await self.search_documents(text)

    class Chat:
        vector_storage = VectorStorage()

        @api.traceable(name="get_rag_context")
        async def get_rag_context(self, text: str) -> list[list[str]]:
            run_tree = api.get_current_run_tree()
            return await asyncio.gather(
                self.vector_storage.get_similar_user_messages(text, parent_run_tree=run_tree),
                self.vector_storage.get_global_knowledge(text, parent_run_tree=run_tree),
                self.vector_storage.get_documents(text, parent_run_tree=run_tree),
            )

        @api.traceable(run_type="llm", name="ChatOpenAI")
        async def ask(self, text: str, found: Any) -> str:
            return text.upper()

        @api.traceable(name="chat_generation")
        async def chat_generation(self, text: str) -> str:
            return await self.ask(text, await self.get_rag_context(text))

    return asyncio.run(Chat().chat_generation("why?"))


SHAPES = [
    explicit_parent, decorator_forms, call_time_extra, filled_in, context_manager, async_context_manager, failing,
    processing, generators, separate_traces, headers, inherited, by_hand, questions,
    ended_later, context_as_decorator, children, the_issues_own,
]  # fmt: skip


class Runs:
    """A client that keeps the runs."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.tracing_mode = "langsmith"
        self.otel_exporter = None

    def create_run(self, name: Any = None, inputs: Any = None, run_type: Any = None, **run: Any) -> None:
        run = {"name": name, "inputs": inputs, "run_type": run_type, **run}
        self.runs.setdefault(str(run["id"]), {}).update(run)

    def update_run(self, run_id: Any, **run: Any) -> None:
        kept = self.runs.setdefault(str(run_id), {})
        kept.update({key: value for key, value in run.items() if value is not None})


CLIENT = Runs()


def stub(api: Any) -> dict[str, Any]:
    return {"client": CLIENT} if api.__name__.startswith("langsmith") else {}


def told(runs: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """What both sides should agree on, of each run."""
    found = []
    for run in runs.values():
        parent = runs.get(str(run.get("parent_run_id")), {}).get("name")
        metadata = {
            key: value
            for key, value in (run["extra"].get("metadata") or {}).items()
            if not key.startswith(("ls_", "LANGSMITH")) and key != "revision_id"
        }
        outputs = run.get("outputs") or {}
        found.append(
            {
                "name": run["name"], "parent": parent, "run_type": run["run_type"], "inputs": run["inputs"],
                "outputs": outputs["output"] if set(outputs) == {"output"} else outputs or None,
                "failed": run.get("error") is not None, "tags": sorted(run.get("tags") or []), "metadata": metadata,
            }
        )  # fmt: skip
    return sorted(found, key=lambda run: json.dumps(run, sort_keys=True, default=str))


def main() -> None:
    import langsmith
    from langsmith import run_helpers

    run_helpers.RunTree = langsmith.RunTree
    langsmith.configure(client=CLIENT, enabled=True)
    answers = {}
    for shape in SHAPES:
        CLIENT.runs.clear()
        returned = shape(run_helpers)
        answers[shape.__name__] = {"returned": returned, "runs": told(CLIENT.runs)}
    json.dump(answers, sys.stdout, default=str)


if __name__ == "__main__":
    main()
