"""
Clew follows one request through a RAG or agent application, and keeps the trace.

    import clew

    clew.configure("http://127.0.0.1:4319")

    with clew.span("answer", kind="root", user_id="u1") as span:
        span.outputs = answer(question)

This is the whole public face of the SDK. `clew.asgi` has the middleware, `clew.logs` the filter
that puts trace ids into log records.
"""

from __future__ import annotations

from typing import Any

from clew.sdk.context import current_span, tracing_context
from clew.sdk.decorators import traced
from clew.sdk.endpoints import STORE_OPENERS as _STORE_OPENERS
from clew.sdk.outbox import settling as _settling
from clew.sdk.span import ActiveSpan as span  # noqa: N813  it is called like a function

__all__ = ["configure", "current_span", "flush", "score", "shutdown", "span", "traced", "tracing_context"]


def configure(
    endpoint: str | None = None,
    *,
    api_key: str | None = None,
    service: str | None = None,
    enabled: bool | None = None,
    flush_traces: int | None = None,
    flush_interval_s: float | None = None,
) -> None:
    """
    Say where traces go. What is not given comes from the environment: see `clew.config`.

    *endpoint* is a Clew server, `http(s)://host:port`, or a store, `sqlite:///path`. Nothing is
    opened yet. May be called again; spans that wait go to the new endpoint. Without any call,
    the first span does this from the environment alone.

    Raises:
        ConfigError: a setting is wrong; what was configured before stays.
    """
    _setup().configure(
        endpoint,
        api_key=api_key,
        service=service,
        enabled=enabled,
        flush_traces=flush_traces,
        flush_interval_s=flush_interval_s,
    )


def score(
    name: str,
    value: float,
    *,
    best: float = 5,
    trace_id: str | None = None,
    span: Any = None,
    comment: str = "",
    label: str = "",
    source: str = "user",
) -> None:
    """
    Say what somebody thought: *value* of *best*, of a trace or of one span in it.

    Without *trace_id* and *span* it is the current trace. A score of at most two fifths from a
    user flags the trace. Never raises: what is no score is logged once.
    """
    if _settling.is_mine():
        return  # A signal handler came in while tracing was being set up.
    _setup().score(name, value, best=best, trace_id=trace_id, span=span, comment=comment, label=label, source=source)


def flush(timeout: float = 5.0) -> bool:
    """
    Wait until everything that ended before was delivered, at most *timeout* seconds.

    Gives True if all of it was, and nothing was lost since the last flush.
    """
    return bool(_setup().flush(timeout))


def shutdown(timeout: float = 5.0) -> bool:
    """
    Flush, then stop: no spans are recorded until `configure` is called again. Done at exit.

    Gives True if everything was delivered; what was not is lost, and the log says how much.
    """
    return bool(_setup().shutdown(timeout))


def _setup() -> Any:
    """The machinery behind the spans, which `import clew` alone does not load."""
    with _settling:
        from clew.sdk import setup

        return setup


def _open_store(url: str) -> Any:
    """Make the exporter that writes straight into a store; it opens at its first batch."""
    from importlib.util import find_spec

    from clew.errors import ConfigError
    from clew.sdk.exporter import LateExporter

    if not url.partition(":///")[2]:
        raise ConfigError("endpoint", f"{url!r} names no file; it looks like sqlite:///clew.db")
    if find_spec("apsw") is None:
        raise ConfigError("endpoint", f"{url!r} needs the embedded store: pip install 'clew[server]'")

    # Loaded here and not by the writer's thread, which may be at it when the process forks.
    import clew.store.sqlite  # noqa: F401
    from clew.ingest.direct import DirectWriter
    from clew.store import open_store

    return LateExporter(lambda: DirectWriter(open_store(url)))


_STORE_OPENERS["sqlite"] = _open_store
