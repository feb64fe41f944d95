"""
Realistic request bodies, encoded once and stamped anew for each send.

A body holds whole traces of 8 spans: question, classification, embedding, retrieval with three
shards side by side, generation with a 2 KB prompt and a 1 KB answer. Encoding them for each
send would measure the encoder, so a `Template` keeps one encoded body and knows where its ids
and times lie; `stamp` writes fresh ones into a copy. No id repeats, and (seed, sequence
number) give the ids back, which is how a loss is found after a crash.

Two dialects say the same: `native`, as Clew's SDK sends it, and `otlp`, with the attributes
of OpenInference and of OpenTelemetry's gen_ai conventions.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

SPANS_PER_TRACE = 8
PARENTS = (None, 0, 0, 0, 3, 3, 3, 0)
"""For each span of a trace the index of its parent."""

MODELS = ("gpt-5-mini", "claude-haiku", "qwen3-8b")
EXCEPTION = {"exception.type": "RateLimitError", "exception.message": "429 too many requests"}
USERS, SESSIONS = 1000, 5000
TRACE_EVERY_NS = 20_000_000
"""Traces of one body begin 20 ms apart: fifty requests a second."""

# What stands where ids and times will be stamped. The bytes occur in no UTF-8 text.
TRACE_MARK, SPAN_MARK, PARENT_MARK = b"\xfb" * 16, b"\xfc" * 8, b"\xfd" * 8
TIME_MARK_NS = 0x7FFEFD << 40
"""The low 40 bits are free for the offset of a time: 18 minutes."""


# --- what is in a trace ------------------------------------------------------------------------


@dataclass
class Step:
    """One span, before it is written in a dialect. Times are nanoseconds since the trace began."""

    name: str
    kind: str
    start_ns: int
    end_ns: int
    native: dict[str, Any] = field(default_factory=dict)
    foreign: dict[str, Any] = field(default_factory=dict)
    inputs: Any = None
    outputs: Any = None
    failed: bool = False


class Writer:
    """Invents traces, the same ones from the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        # One vocabulary for all templates, so that a search meets common and rare words.
        letters = random.Random(7)
        self.words = [
            "".join(letters.choices("etaoinshrdlucmfwypvbgk", k=letters.randrange(2, 11))) for _ in range(4000)
        ]

    def text(self, chars: int) -> str:
        """Words, *chars* characters of them."""
        return " ".join(self.random.choices(self.words, k=chars // 3))[:chars]

    def ms(self, low: float, high: float) -> int:
        """A duration in nanoseconds, with the long tail that latencies have."""
        return int(self.random.lognormvariate(0, 0.5) * self.random.uniform(low, high) * 1e6)

    def trace(self, tag: str) -> list[Step]:
        """Eight steps, in the order of `PARENTS`. *tag* is a word that this trace alone contains."""
        draw = self.random
        question, prompt = self.text(120), f"{self.text(2030)} {tag}"
        # One in fifty is empty, one in fifty fails, a tenth is unsure: so every flag occurs.
        answer = self.text(20 if draw.random() < 0.02 else 1024)
        prepared = list(self.preparation(question))
        retrieved = list(self.retrieval(question, begins_ns=prepared[-1].end_ns))
        generated = self.generation(prompt, answer, begins_ns=retrieved[0].end_ns + 1_000_000)
        root = self.root(question, answer, ends_ns=generated.end_ns + 2_000_000)
        root.failed = generated.failed
        return [root, *prepared, *retrieved, generated]

    def root(self, question: str, answer: str, *, ends_ns: int) -> Step:
        draw = self.random
        user, session = f"user-{draw.randrange(USERS):04d}", f"s-{draw.randrange(SESSIONS):05d}"
        native: dict[str, Any] = {
            "user_id": user,
            "session_id": session,
            "strategy": draw.choice(["dense", "keyword", "hybrid"]),
        }
        native["confidence"] = round(draw.uniform(0.45, 1.0), 3)
        foreign: dict[str, Any] = {"input.value": question, "input.mime_type": "text/plain", "output.value": answer}
        foreign |= {"output.mime_type": "text/plain", "session.id": session, "user.id": user}
        foreign |= {"metadata": json.dumps({"tenant": user[-2:], "ab": "B"}), "tag.tags": ["prod", "rag"]}
        return Step("rag.query", "root", 0, ends_ns, native, _kind("CHAIN") | foreign, question, answer)

    def preparation(self, question: str) -> Iterator[Step]:
        """Classification, then embedding."""
        model, label = self.random.choice(MODELS), self.random.choice(["faq", "billing", "other"])
        ends_ns = 1_000_000 + self.ms(80, 200)
        tokens = {"model": model, "input_tokens": 64, "output_tokens": 3}
        foreign = _called("LLM", model, 64, 3) | {"input.value": question, "output.value": label}
        yield Step("classify", "classification", 1_000_000, ends_ns, tokens, foreign, question, label)
        small = "text-embedding-3-small"
        foreign = _kind("EMBEDDING") | {"gen_ai.operation.name": "embeddings", "gen_ai.request.model": small}
        foreign |= {"embedding.model_name": small, "gen_ai.usage.input_tokens": 31, "http.response.status_code": 200}
        foreign |= {"embedding.embeddings.0.embedding.text": question, "server.address": "10.0.0.7"}
        own = {"model": small, "input_tokens": 31, "server.address": "10.0.0.7"}
        yield Step("embed", "embedding", ends_ns, ends_ns + self.ms(5, 20), own, foreign, question)

    def retrieval(self, question: str, *, begins_ns: int) -> Iterator[Step]:
        """The retriever and its three shards, which run side by side."""
        shards = [self.shard(question, number, begins_ns + 1_000_000) for number in range(3)]
        ends_ns = max(shard.end_ns for shard in shards) + 1_000_000
        foreign = _kind("RETRIEVER") | {"input.value": question, "retrieval.top_k": 3, "retrieval.reranked": True}
        found = [{"id": f"doc-{self.random.randrange(99_999)}", "score": self.random.random()} for _ in range(3)]
        for number, document in enumerate(found):
            for name, value in document.items():
                foreign[f"retrieval.documents.{number}.document.{name}"] = value
        yield Step("retrieve", "retrieval", begins_ns, ends_ns, {"top_k": 3}, foreign, question, found)
        yield from shards

    def shard(self, question: str, number: int, begins_ns: int) -> Step:
        found = {"id": f"doc-{self.random.randrange(99_999)}", "score": self.random.random(), "content": self.text(300)}
        place: dict[str, Any] = {
            "db.system.name": "postgresql",
            "db.operation.name": "knn",
            "db.collection.name": f"chunks_{number}",
        }
        place |= {"server.address": f"10.0.1.{number}", "server.port": 5432}
        foreign = _kind("RETRIEVER") | place | {"input.value": question}
        foreign |= {f"retrieval.documents.0.document.{name}": value for name, value in found.items()}
        return Step(
            "retrieve.shard", "retrieval", begins_ns, begins_ns + self.ms(5, 60), place, foreign, question, [found]
        )

    def generation(self, prompt: str, answer: str, *, begins_ns: int) -> Step:
        model = self.random.choice(MODELS)
        asked, said = self.random.randrange(300, 900), self.random.randrange(80, 400)
        native = {"model": model, "input_tokens": asked, "output_tokens": said, "temperature": 0.2}
        foreign = _called("LLM", model, asked, said)
        for side, role, text in (("input", "user", prompt), ("output", "assistant", answer)):
            message = f"llm.{side}_messages.0.message"
            foreign |= {f"{message}.role": role, f"{message}.content": text}
        step = Step("generate", "generation", begins_ns, begins_ns + self.ms(400, 2500), native, foreign)
        step.inputs = [{"role": "user", "content": prompt}]
        step.outputs = {"role": "assistant", "content": answer}
        step.failed = self.random.random() < 0.02
        return step


def _kind(name: str) -> dict[str, Any]:
    return {"openinference.span.kind": name}


def _called(kind: str, model: str, asked: int, said: int) -> dict[str, Any]:
    """A call of a model, as both conventions write it side by side."""
    gen_ai: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": model,
    }
    gen_ai |= {"gen_ai.usage.input_tokens": asked, "gen_ai.usage.output_tokens": said}
    counts = {"prompt": asked, "completion": said, "total": asked + said}
    inference = {f"llm.token_count.{name}": count for name, count in counts.items()}
    return _kind(kind) | gen_ai | inference | {"llm.model_name": model}


# --- dialects ----------------------------------------------------------------------------------


class Native:
    """`POST /api/v1/spans`, MessagePack: ids are hex, times big-endian."""

    path = "/api/v1/spans"
    content_type = "application/msgpack"
    trace_id = re.compile(b"\xd9\x20(t{32})")
    span_id = re.compile(b"\xb0(s{16})")
    parent_id = re.compile(b"\xb0(p{16})")
    time = re.compile(b"\xcf(\x7f\xfe\xfd.{5})", re.DOTALL)
    time_type = ">u8"

    @staticmethod
    def id_bytes(ids: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Random bytes as they stand in the body: hex."""
        return _HEX[ids].reshape(len(ids), -1)

    @staticmethod
    def encode(traces: Sequence[Sequence[Step]]) -> bytes:
        """One body with marks in place of ids and times."""
        import msgspec

        from clew.model import Event
        from clew.wire.native import NativeBody, NativeSpan

        spans = [
            NativeSpan(
                trace_id="t" * 32,
                span_id="s" * 16,
                parent_id=None if parent is None else "p" * 16,
                name=step.name,
                kind=step.kind,  # type: ignore[arg-type]
                start_ns=TIME_MARK_NS + step.start_ns,
                end_ns=TIME_MARK_NS + step.end_ns,
                status="error" if step.failed else "ok",
                status_message=EXCEPTION["exception.type"] if step.failed else "",
                attributes=step.native,
                inputs=step.inputs,
                outputs=step.outputs,
                events=[Event(name="exception", at_ns=TIME_MARK_NS + step.end_ns, attributes=EXCEPTION)]
                if step.failed
                else [],
            )
            for steps in traces
            for step, parent in zip(steps, PARENTS, strict=True)
        ]
        resource = {"service.name": "rag-app", "service.version": "1.4.2"}
        return msgspec.msgpack.encode(NativeBody(spans=spans, resource=resource))


class Otlp:
    """`POST /v1/traces`, protobuf: ids are bytes, times little-endian."""

    path = "/v1/traces"
    content_type = "application/x-protobuf"
    # Each preceded by its tag and, for bytes, its length.
    trace_id = re.compile(b"\x0a\x10(\xfb{16})")
    span_id = re.compile(b"\x12\x08(\xfc{8})")
    parent_id = re.compile(b"\x22\x08(\xfd{8})")
    time = re.compile(b"[\x39\x41\x09](.{5}\xfd\xfe\x7f)", re.DOTALL)
    time_type = "<u8"

    @staticmethod
    def id_bytes(ids: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Random bytes as they stand in the body: as they are."""
        return ids

    @staticmethod
    def encode(traces: Sequence[Sequence[Step]]) -> bytes:
        """One body with marks in place of ids and times."""
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        request = ExportTraceServiceRequest()
        resource = request.resource_spans.add()
        _put(
            resource.resource,
            {"service.name": "rag-app", "service.version": "1.4.2", "telemetry.sdk.language": "python"},
        )
        scope = resource.scope_spans.add()
        scope.scope.name = "openinference.instrumentation.rag"
        for steps in traces:
            for step, parent in zip(steps, PARENTS, strict=True):
                Otlp._add(scope, step, is_root=parent is None)
        return bytes(request.SerializeToString())

    @staticmethod
    def _add(scope: Any, step: Step, *, is_root: bool) -> None:
        span = scope.spans.add(trace_id=TRACE_MARK, span_id=SPAN_MARK, name=step.name, kind=1 if is_root else 3)
        if not is_root:
            span.parent_span_id = PARENT_MARK
        span.start_time_unix_nano = TIME_MARK_NS + step.start_ns
        span.end_time_unix_nano = TIME_MARK_NS + step.end_ns
        span.status.code = 2 if step.failed else 1
        _put(span, step.foreign)
        if step.failed:
            span.status.message = EXCEPTION["exception.type"]
            _put(span.events.add(name="exception", time_unix_nano=span.end_time_unix_nano), EXCEPTION)


Dialect = type[Native] | type[Otlp]
DIALECTS: dict[str, Dialect] = {"native": Native, "otlp": Otlp}


def _put(holder: Any, attributes: dict[str, Any]) -> None:
    for key, value in attributes.items():
        into = holder.attributes.add(key=key).value
        if isinstance(value, bool):
            into.bool_value = value
        elif isinstance(value, str):
            into.string_value = value
        elif isinstance(value, int):
            into.int_value = value
        elif isinstance(value, float):
            into.double_value = value
        else:
            for each in value:
                into.array_value.values.add(string_value=each)


# --- stamping ----------------------------------------------------------------------------------

_HEX = np.frombuffer(bytes(range(256)).hex().encode(), dtype=np.uint8).reshape(256, 2)


class Template:
    """One encoded body whose ids and times can be overwritten."""

    def __init__(self, dialect: Dialect, number: int, traces: int) -> None:
        writer = Writer(1000 + number)
        encoded = dialect.encode([writer.trace(f"zq{number:03d}x{index:03d}") for index in range(traces)])
        self.dialect = dialect
        self.traces = traces
        self.spans = traces * SPANS_PER_TRACE
        self.bytes = np.frombuffer(encoded, dtype=np.uint8)
        self.trace_at = _places(dialect.trace_id, encoded)
        self.span_at = _places(dialect.span_id, encoded)
        self.parent_at = _places(dialect.parent_id, encoded)
        self.time_at = _places(dialect.time, encoded)
        if not len(self.trace_at) == len(self.span_at) == len(self.parent_at) + traces == self.spans:
            raise AssertionError("a mark of the template occurs where none was put")
        times = self.bytes[self.time_at].view(dialect.time_type).ravel()
        self.offset_ns = times.astype(np.uint64) - np.uint64(TIME_MARK_NS)
        self.trace_of_span = np.arange(self.spans) // SPANS_PER_TRACE
        # A span begins with its trace id, in both dialects; its times come after.
        of_span = np.searchsorted(self.trace_at[:, 0], self.time_at[:, 0]) - 1
        self.trace_of_time = self.trace_of_span[of_span]
        inside = np.array([-1 if parent is None else parent for parent in PARENTS] * traces)
        self.parent_of = (self.trace_of_span * SPANS_PER_TRACE + inside)[inside >= 0]

    def stamp(self, seed: int, sequence: int, start_ns: int, every_ns: int = TRACE_EVERY_NS) -> bytes:
        """A body whose first trace begins at *start_ns* and each other *every_ns* after the one before."""
        body = self.bytes.copy()
        trace_ids, span_ids = _ids(seed, sequence, self.traces)
        spans = self.dialect.id_bytes(span_ids)
        body[self.trace_at] = self.dialect.id_bytes(trace_ids)[self.trace_of_span]
        body[self.span_at] = spans
        body[self.parent_at] = spans[self.parent_of]
        times = self.offset_ns + np.uint64(start_ns) + (self.trace_of_time * every_ns).astype(np.uint64)
        body[self.time_at] = times.astype(self.dialect.time_type).view(np.uint8).reshape(-1, 8)
        return bytes(body.tobytes())


def trace_ids(seed: int, sequence: int, traces: int) -> list[str]:
    """The ids, in hex, of the traces of one stamped body."""
    return [each.tobytes().hex() for each in _ids(seed, sequence, traces)[0]]


def _ids(seed: int, sequence: int, traces: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    draw = np.random.Generator(np.random.PCG64([seed, sequence]))
    spans = draw.integers(0, 256, (traces * SPANS_PER_TRACE, 8), np.uint8)
    return draw.integers(0, 256, (traces, 16), np.uint8), spans


def _places(pattern: re.Pattern[bytes], encoded: bytes) -> NDArray[np.intp]:
    """Where each match of the pattern's group lies, a row of byte positions each."""
    return np.array([np.arange(*match.span(1)) for match in pattern.finditer(encoded)])
