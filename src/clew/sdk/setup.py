"""
The one writer of this process: made by `configure` or by the first span, ended at exit.

Only `configure` raises. What goes wrong when the environment decides (at the first span) is
logged once, and tracing stays off.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterable, Mapping
from time import time_ns
from typing import Any, Final

from clew import config
from clew.errors import ClewError, ConfigError
from clew.model import Score
from clew.model.ids import span_id_of, trace_id_of
from clew.sdk.ambient import current
from clew.sdk.carriers import executors, processes
from clew.sdk.endpoints import STORE_OPENERS
from clew.sdk.exporter import Exporter
from clew.sdk.http_exporter import HttpExporter
from clew.sdk.leaving import EXIT_PATIENCE_S, EXIT_S, Leaving
from clew.sdk.outbox import outbox, settling
from clew.sdk.processing import Processing, Processor, processing_from
from clew.sdk.sampler import Sampler, sampler_from
from clew.sdk.spool import Spool
from clew.sdk.spool_folder import spool_from
from clew.sdk.writer import Writer

log: Final = logging.getLogger("clew")

TEXT_CHARS: Final = 100_000
"""The most that is kept of a score's comment."""

_writer: Writer | None = None

capturing: Callable[..., object] | None = None
"""What `configure` calls in place of `use` while a test captures: `clew.testing.capture`."""


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
    spool: str | os.PathLike[str] | bool | None = None,
    spool_bytes: int | None = None,
    redact: bool | None = None,
    redact_names: Iterable[str] | None = None,
    processors: Iterable[Processor] = (),
    capture: Mapping[str, str] | str | None = None,
    token_spans: bool | None = None,
) -> None:
    """See `clew.configure`."""
    with settling:
        if not (config.ENABLED.read() if enabled is None else enabled):
            switch_off()
            return
        endpoint = config.ENDPOINT.read() if endpoint is None else endpoint
        api_key = config.API_KEY.read() if api_key is None else api_key
        exporter = _exporter(endpoint, api_key)
        is_first = _writer is None or _writer.stopped
        (use if capturing is None else capturing)(
            exporter,
            service=config.SERVICE.read() if service is None else service,
            flush_traces=_traces(flush_traces),
            flush_interval_s=_interval(flush_interval_s),
            queue_spans=config.QUEUE_SPANS.read(),
            sampler=sampler_from(
                config.MODE.read() if mode is None else mode,
                config.SAMPLE_RATE.read() if sample_rate is None else sample_rate,
                config.SAMPLE_RATES.read() if sample_rates is None else sample_rates,
            ),
            spool=spool_from(
                config.SPOOL.read() or None if spool is None else spool,
                config.SPOOL_BYTES.read() if spool_bytes is None else spool_bytes,
                str(endpoint),
                str(api_key),
            ),
            processing=processing_from(
                config.REDACT.read() if redact is None else redact,
                config.REDACT_NAMES.read() if redact_names is None else redact_names,
                processors,
                config.CAPTURE.read() if capture is None else capture,
            ),
        )
        outbox.token_spans = config.TOKEN_SPANS.read() if token_spans is None else bool(token_spans)
    if not is_first:
        place = endpoint.rpartition("@")[2]  # The URL of a database holds a password before that.
        log.info("clew: configured again; what waits and what comes goes to %s", place)


def use(
    exporter: Exporter,
    *,
    service: str = "",
    flush_traces: int = config.FLUSH_TRACES.default,
    flush_interval_s: float = config.FLUSH_INTERVAL_S.default,
    queue_spans: int = config.QUEUE_SPANS.default,
    sampler: Sampler | None = None,
    spool: Spool | None = None,
    processing: Processing | None = None,
) -> Writer:
    """Send to *exporter* from now on, and record."""
    global _writer  # noqa: PLW0603  one writer for the process
    resource = {"telemetry.sdk.name": "clew", "telemetry.sdk.language": "python"}
    if service:
        resource["service.name"] = str(service)
    with settling:
        if _writer is None or _writer.stopped:
            _writer = Writer(
                outbox, exporter, flush_traces=flush_traces, flush_interval_s=flush_interval_s, resource=resource
            )
        else:
            _writer.redirect(exporter, flush_traces=flush_traces, flush_interval_s=flush_interval_s, resource=resource)
        _writer.sampler, _writer.spool = sampler, spool
        outbox.processing = processing
        outbox.limit = queue_spans
        outbox.ensure_writer = _writer.ensure_running
        _leaving.hook(_after_fork)
        executors.install()
        processes.install()
        outbox.settled = outbox.recording = True
        return _writer


def from_environment() -> bool:
    """Decide at the first span; gives whether there is something to record."""
    with settling:
        if outbox.settled:
            return outbox.recording
        try:
            configure()
        except ClewError as error:
            switch_off()
            log.error("clew: tracing is off: %s", error)  # noqa: TRY400  the sentence says it all
        except Exception:
            switch_off()
            log.exception("clew: tracing is off")
        return outbox.recording


def switch_off() -> None:
    """Record nothing from now on. What waits already is still sent."""
    with settling:
        outbox.recording = capturing is not None
        outbox.settled = True


def flush(timeout: float = 5.0, *, patience_s: float | None = None) -> bool:
    """See `clew.flush`."""
    writer = _writer
    return writer is None or writer.stopped or writer.flush(timeout, patience_s=patience_s)


def shutdown(timeout: float = 5.0, *, patience_s: float | None = None) -> bool:
    """See `clew.shutdown`."""
    with settling:
        writer = _writer
        switch_off()
    if writer is None or writer.stopped:
        return True
    delivered = writer.flush(timeout, patience_s=patience_s)
    if delivered:
        writer.linger(min(timeout, EXIT_PATIENCE_S))
    writer.stop()
    return delivered


def score(
    name: str,
    value: float,
    *,
    best: float = 5,
    trace_id: str | None = None,
    span: Any = None,
    comment: str = "",
    label: str = "",
    source: Any = "user",
) -> None:
    """See `clew.score`."""
    if not outbox.recording and (outbox.settled or not from_environment()):
        return
    try:
        of_trace, of_span = _scored(trace_id, span)
        given = Score(
            trace_id=of_trace,
            span_id=of_span,
            name=_text(name),
            value=_finite(value),
            best=_finite(best),
            label=_text(label),
            comment=_text(comment),
            source=source if source in ("user", "evaluator", "code") else "code",
            at_ns=time_ns(),
        )
    except Exception as error:
        outbox.complain(f"score:{type(error).__name__}", f"a score was ignored: {error!s:.300}")
        return
    outbox.put(given, is_root=False)


def forget() -> None:
    """Go back to before the first span. For tests."""
    global _writer
    with settling:
        writer, _writer = _writer, None
        if writer is not None and not writer.stopped:
            writer.stop()
        outbox.recording = outbox.settled = outbox.token_spans = False
        outbox.processing = None
        outbox.empty(wake_at_root=config.FLUSH_TRACES.default)
        outbox.ensure_writer = lambda: None
        outbox.forget_complaints()


def _exporter(endpoint: str, api_key: str) -> Exporter:
    scheme, separator, _ = str(endpoint).partition("://")
    if scheme in ("http", "https") and separator:
        return HttpExporter(endpoint, api_key=str(api_key))
    if scheme in STORE_OPENERS and separator:
        exporter: Exporter = STORE_OPENERS[scheme](endpoint)
        return exporter
    if scheme == "otlp+http":
        raise ConfigError(
            "endpoint",
            "otlp+http:// is not supported in this version; use http://, sqlite:///, postgresql:// or clickhouse://",
        )
    hint = f"; did you mean http://{endpoint}?" if endpoint and not separator else ""
    raise ConfigError(
        "endpoint",
        f"{endpoint!r} is neither http(s)://host:port, sqlite:///path, postgresql://host/database nor "
        f"clickhouse://host:8123/database{hint}",
    )


def _traces(flush_traces: int | None) -> int:
    value = config.FLUSH_TRACES.read() if flush_traces is None else flush_traces
    if not isinstance(value, int) or value < 1:
        raise ConfigError("flush_traces", f"{value!r} is not a whole number over zero")
    return value


def _interval(flush_interval_s: float | None) -> float:
    value = config.FLUSH_INTERVAL_S.read() if flush_interval_s is None else flush_interval_s
    if not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise ConfigError("flush_interval_s", f"{value!r} is not a number of seconds over zero")
    return float(value)


def _text(value: Any) -> str:
    """*value* as a text that can be sent: whole characters, and not too many."""
    text = str.__str__(value if issubclass(type(value), str) else str(value))
    if len(text) > TEXT_CHARS:
        text = f"{text[:TEXT_CHARS]}… [cut: {len(text)} characters]"
    return text.encode("utf-8", "replace").decode()


def _finite(value: float) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} is no score")
    return number


def _scored(trace_id: str | None, span: Any) -> tuple[str, str | None]:
    """Which trace, and which span of it if one was named."""
    if span is not None:
        return trace_id_of(span.trace_id), span_id_of(span.span_id)
    if trace_id is not None:
        return trace_id_of(trace_id), None
    found = current()
    if found is None or not found._trace:
        raise ValueError("no span is current and no trace_id was given")
    return f"{found._trace:032x}", None


def _after_fork() -> None:
    """The parent sends what waited; the child begins with an empty queue and no thread."""
    if _writer is not None:
        _writer.after_fork()


_leaving: Final = Leaving(
    drain=lambda: shutdown(EXIT_S, patience_s=EXIT_PATIENCE_S),
    flush=lambda: flush(EXIT_S, patience_s=EXIT_PATIENCE_S),
)
