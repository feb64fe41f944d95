"""
What runs in the user's process: spans, the context they travel in, and the writer that sends them.

On the caller's thread a span is a few assignments and one append to a bounded queue: no I/O, no
deep copy, no lock. Everything else (hex, conversion, encoding, HTTP, logging) is the work of one
background thread, `clew.sdk.writer`. Nothing in here raises into user code, except
`clew.configure`, whose job is to say that a setting is wrong.

    ambient     the one context variable, and what a `parent=` may be
    span        the live span
    context     current_span and tracing_context
    decorators  traced (generators: the steps; calls: the arguments; kept: what is copied; failures: exceptions)
    runs        the spans in LangSmith's words (run_*: traceable, trace, tracing_context): clew.langsmith
    outbox      where ended spans wait
    writer      owns the outbox's other end (packing and plain: a live span -> a wire span)
    sampler     which traces are stored (draw, slowness; shelf: what waits), and what the others add up to (rollup)
    exporter    where batches go
    setup       configure, flush, shutdown, score (endpoints: what opens a store)
    carriers/   what must carry the context by itself
"""
