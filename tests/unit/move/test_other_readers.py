"""Parts of spans are for everybody: read here with opentelemetry-proto and zstandard alone, without Clew."""

import io

import zstandard
from google.protobuf import proto
from moving import export
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew.store import open_store
from clew.testing.store_contract import a_span, put


def test_another_backend_reads_the_spans(tmp_path):
    """A folder, a loop, and protobuf's own way of telling messages apart: see docs/howto/move-and-back-up.md."""
    store = open_store("memory:")
    put(store, *[a_span(trace, number) for trace in range(200) for number in range(7)])
    export(store, tmp_path / "out")

    spans = []
    for part in sorted((tmp_path / "out").glob("spans-*.otlp.zst")):
        raw = io.BytesIO(zstandard.ZstdDecompressor().stream_reader(part.read_bytes()).read())
        while request := proto.parse_length_prefixed(ExportTraceServiceRequest, raw):
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    spans += scope.spans

    assert len(spans) == 1_400
    assert {span.name for span in spans} == {f"step {number}" for number in range(7)}
