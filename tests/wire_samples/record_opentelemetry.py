"""
Record what the installed OpenTelemetry SDK really sends: `python tests/wire_samples/record_opentelemetry.py`.

Each body goes through the SDK's own exporter to a local port and is saved as it arrived, in a
folder named for the SDK's version, beside what Clew decodes from it. Look at the difference before
keeping either.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import msgspec
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.version import __version__
from opentelemetry.trace import Link, SpanKind, StatusCode, Tracer

from clew.wire import otlp_protobuf
from clew.wire.compression import inflate

FOLDER = Path(__file__).parent / f"opentelemetry-{__version__}"


def openinference_rag(tracer: Tracer) -> None:
    """A RAG request as OpenInference's instrumentations write it."""
    question = "When does the shop open?"
    answer = "The shop opens at nine on weekdays, and at ten on Saturdays. It is closed on Sundays."
    root_attributes = {
        "openinference.span.kind": "CHAIN",
        "input.value": question,
        "session.id": "s-1",
        "user.id": "u-1",
    }
    with tracer.start_as_current_span("rag.query", kind=SpanKind.SERVER, attributes=root_attributes) as root:
        root.set_attribute("tag.tags", ["prod", "rag"])
        with tracer.start_as_current_span("embed") as span:
            span.set_attributes(
                {"openinference.span.kind": "EMBEDDING", "embedding.model_name": "multilingual-e5-small"}
            )
            span.set_attributes({"llm.token_count.prompt": 7, "embedding.embeddings.0.embedding.text": question})
        with tracer.start_as_current_span("retrieve") as span:
            span.set_attributes({"openinference.span.kind": "RETRIEVER", "input.value": question, "confidence": 0.82})
            for number, (doc, score) in enumerate((("d-7", 0.91), ("d-2", 0.5))):
                document = f"retrieval.documents.{number}.document"
                span.set_attributes(
                    {f"{document}.id": doc, f"{document}.score": score, f"{document}.content": "opens at nine"}
                )
        with tracer.start_as_current_span("cache", links=[Link(root.get_span_context(), {"why": "test"})]) as span:
            # By hand, since a recorded exception would bring a stack trace with this machine's paths.
            span.add_event("exception", {"exception.type": "TimeoutError", "exception.message": "no answer in 2 s"})
            span.set_status(StatusCode.ERROR, "no answer in 2 s")
        with tracer.start_as_current_span("ChatOpenAI", kind=SpanKind.CLIENT) as span:
            span.set_attributes({"openinference.span.kind": "LLM", "llm.model_name": "gpt-5-mini"})
            span.set_attributes(
                {"llm.token_count.prompt": 412, "llm.token_count.completion": 21, "llm.cost.total": 0.00031}
            )
            span.set_attributes(
                {"llm.input_messages.0.message.role": "system", "llm.input_messages.0.message.content": "Be brief."}
            )
            span.set_attributes(
                {"llm.input_messages.1.message.role": "user", "llm.input_messages.1.message.content": question}
            )
            span.set_attributes(
                {"llm.output_messages.0.message.role": "assistant", "llm.output_messages.0.message.content": answer}
            )
        root.set_attribute("output.value", answer)
        root.set_status(StatusCode.OK)


def gen_ai_agent(tracer: Tracer) -> None:
    """An agent that calls a tool, in gen_ai's newer names: messages are JSON."""
    with tracer.start_as_current_span("invoke_agent planner") as agent:
        agent.set_attributes({"gen_ai.operation.name": "invoke_agent", "gen_ai.conversation.id": "c-9"})
        with tracer.start_as_current_span("chat claude-haiku", kind=SpanKind.CLIENT) as span:
            span.set_attributes({"gen_ai.operation.name": "chat", "gen_ai.provider.name": "anthropic"})
            span.set_attributes({"gen_ai.request.model": "claude-haiku", "gen_ai.response.model": "claude-haiku-4-5"})
            span.set_attributes({"gen_ai.usage.input_tokens": 120, "gen_ai.usage.output_tokens": 33})
            span.set_attribute("gen_ai.response.time_to_first_chunk", 0.25)
            span.set_attribute(
                "gen_ai.input.messages", '[{"role":"user","parts":[{"type":"text","content":"Weather in Kraków?"}]}]'
            )
            span.set_attribute(
                "gen_ai.output.messages", '[{"role":"assistant","parts":[{"type":"text","content":"It is sunny."}]}]'
            )
        with tracer.start_as_current_span("execute_tool weather") as span:
            span.set_attributes({"gen_ai.tool.name": "weather", "gen_ai.tool.call.arguments": '{"city":"Kraków"}'})
            span.set_attributes({"retry": True, "ratio": 0.5, "count": 0, "empty": "", "sizes": [1, 2, 3]})


def record(name: str, story: Callable[[Tracer], None], compression: Compression) -> None:
    """Save the one body that *story* sends, and what is decoded from it."""
    bodies: list[tuple[str, bytes]] = []

    class Sink(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            bodies.append((self.headers.get("content-encoding", ""), self.rfile.read(length)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    resource = Resource({"service.name": "shop", "service.version": "1.4.2"})
    provider = TracerProvider(resource=resource)
    endpoint = f"http://127.0.0.1:{server.server_port}/v1/traces"
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint, compression=compression)))
    story(trace.get_tracer("openinference.instrumentation.shop", "0.1.30", tracer_provider=provider))
    provider.shutdown()
    server.shutdown()
    server.server_close()
    ((encoding, body),) = bodies
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.pb{'.gz' if encoding else ''}").write_bytes(body)
    decoded = otlp_protobuf.decode(inflate(body, encoding, limit_bytes=1 << 20))
    (FOLDER / f"{name}.json").write_bytes(msgspec.json.format(msgspec.json.encode(decoded.spans), indent=1))


if __name__ == "__main__":
    record("openinference_rag", openinference_rag, Compression.NoCompression)
    record("gen_ai_agent", gen_ai_agent, Compression.Gzip)
