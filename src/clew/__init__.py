"""
Clew follows one request through a RAG or agent application, and keeps the trace.

    import clew

    clew.configure("http://127.0.0.1:4319")

    with clew.span("answer", kind="root", user_id="u1") as span:
        span.outputs = answer(question)

This is the whole public face of the SDK. `clew.asgi` has the middleware, `clew.logs` the filter
that puts trace ids into log records, `clew.events` the calls as they happen, `clew.langsmith` and
`clew.otel` other APIs on Clew's spans, `clew.testing` help for tests. `import clew` is enough to
use them: each is loaded when it is first named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

from clew.sdk.context import current_span, tracing_context
from clew.sdk.decorators import traced
from clew.sdk.endpoints import STORE_OPENERS as _STORE_OPENERS
from clew.sdk.faults import internal as _internal
from clew.sdk.outbox import settling as _settling
from clew.sdk.span import ActiveSpan as span  # noqa: N813  it is called like a function

if TYPE_CHECKING:
    from clew import asgi, events, langsmith, logs, otel, testing  # noqa: F401  see `__getattr__`

__all__ = ["configure", "current_span", "flush", "score", "shutdown", "span", "traced", "tracing_context"]


def configure(
    endpoint: str | None = None,
    *,
    api_key: str | None = None,
    service: str | None = None,
    enabled: bool | None = None,
    flush_traces: int | None = None,
    flush_interval_s: float | None = None,
    mode: str | None = None,
    sample_rate: float | None = None,
    sample_rates: Mapping[str, float] | None = None,
    spool: str | PathLike[str] | bool | None = None,
    spool_bytes: int | None = None,
    redact: bool | None = None,
    redact_names: Iterable[str] | None = None,
    processors: Iterable[Callable[[Any], Any]] = (),
    capture: Mapping[str, str] | str | None = None,
    token_spans: bool | None = None,
) -> None:
    """
    Say where traces go. What is not given comes from the environment: see `clew.config`.

    *endpoint* is a Clew server, `http(s)://host:port`, or a store, `sqlite:///path`, `postgresql://…` or
    `clickhouse://…`. Nothing is opened yet. May be called again; spans that wait go to the new
    endpoint. Without any call, the first span does this from the environment alone.

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
        mode=mode,
        sample_rate=sample_rate,
        sample_rates=sample_rates,
        spool=spool,
        spool_bytes=spool_bytes,
        redact=redact,
        redact_names=redact_names,
        processors=processors,
        capture=capture,
        token_spans=token_spans,
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
    try:
        if not _settling.is_mine():  # Else a signal handler came in while tracing was being set up.
            _setup().score(
                name, value, best=best, trace_id=trace_id, span=span, comment=comment, label=label, source=source
            )
    except Exception as fault:
        _internal(fault)


def flush(timeout: float = 5.0) -> bool:
    """
    Wait until everything that ended before was delivered, at most *timeout* seconds.

    Gives True if all of it was, and nothing was lost since the last flush.
    """
    try:
        return bool(_setup().flush(timeout))
    except Exception as fault:
        _internal(fault)
        return False


def shutdown(timeout: float = 5.0) -> bool:
    """
    Flush, then stop: no spans are recorded until `configure` is called again. Done at exit.

    Gives True if everything was delivered; what was not is lost, and the log says how much.
    """
    try:
        return bool(_setup().shutdown(timeout))
    except Exception as fault:
        _internal(fault)
        return False


def _setup() -> Any:
    """The machinery behind the spans, which `import clew` alone does not load."""
    with _settling:
        from clew.sdk import setup

        return setup


def _open_store(url: str) -> Any:
    """Make the exporter that writes straight into a store; it opens at its first batch."""
    from clew import config
    from clew.sdk.exporter import LateExporter

    _load_store(url)
    # Loaded here and not by the writer's thread, which may be at it when the process forks.
    from clew.ingest.direct import DirectWriter
    from clew.store import open_store

    return LateExporter(lambda: DirectWriter(open_store(url, text_search=config.TEXT_SEARCH.read())))


def _load_store(url: str) -> None:
    from clew.errors import ConfigError

    is_file = url.startswith("sqlite://")
    is_clickhouse = url.startswith("clickhouse://")
    if is_file and not url.partition(":///")[2]:
        raise ConfigError("endpoint", f"{url!r} names no file; it looks like sqlite:///clew.db")
    try:
        if is_file:
            import clew.store.sqlite  # noqa: F401
        elif is_clickhouse:
            from clew.store.clickhouse.target import read_target  # with its package, and so what that needs

            read_target(url)
        else:
            from clew.store.postgres.connect import conninfo

            conninfo(url)
    except ConfigError as error:
        raise ConfigError("endpoint", error.problem) from None
    except ModuleNotFoundError as error:
        extra = "server" if is_file else "clickhouse" if is_clickhouse else "postgres"
        raise ConfigError("endpoint", f"this store needs {error.name}: pip install 'clew[{extra}]'") from None


_STORE_OPENERS.update(dict.fromkeys(("sqlite", "postgresql", "postgres", "clickhouse"), _open_store))
_LATER = frozenset({"asgi", "events", "langsmith", "logs", "otel", "testing"})

if not TYPE_CHECKING:  # A checker knows the modules from above, and should go on seeing misspelt names.

    def __getattr__(name: str) -> Any:
        """Load a module of the public face when it is first named, so that `import clew` does not pay for it."""
        if name not in _LATER:
            raise AttributeError(f"module 'clew' has no attribute {name!r}")
        from importlib import import_module

        return import_module(f"clew.{name}")
