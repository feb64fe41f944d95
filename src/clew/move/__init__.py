"""
Move what a store holds to another: `exporting` writes an export, `importing` reads one.

An export is parts and a manifest, in a folder or in one file (`boxes`). A part is whole or not there:
it is written aside, made durable, and only then told of in the manifest, so that an export which was
killed goes on after its last part. Spans travel as OTLP, so another OpenTelemetry backend can read
them; what is known beyond them, latencies and graph of spans that are stored no longer, travels in
the form in which SDKs report it.
"""
