"""
OpenTelemetry on Clew's spans: any instrumentation, one tree with Clew's own, no second SDK.

    import clew.otel

    clew.otel.install()
    HTTPXClientInstrumentor().instrument()   # OpenTelemetry's, OpenInference's, your own

Needs `opentelemetry-api` (`pip install 'clew[otel]'`), and nothing else of OpenTelemetry.
"""

from __future__ import annotations

try:
    import opentelemetry.trace  # noqa: F401
except ImportError as error:
    raise ImportError("clew.otel needs opentelemetry-api: pip install 'clew[otel]'") from error

from clew.sdk import otel_tracer as _tracer
from clew.sdk.faults import internal as _internal
from clew.sdk.otel_tracer import TracerProvider

__all__ = ["TracerProvider", "install"]


def install(*, provider: bool = True) -> None:
    """
    Run OpenTelemetry in this process on Clew.

    From now on both share one current span: a span of either is the parent of what the other
    opens inside of it, by context, by `context=`, by `use_span` and by the global propagator's
    headers. Clew's `TracerProvider` becomes the global one, unless another is set already: that
    one stays, exports as before, and its spans and Clew's take each other as parents. With
    *provider* false no provider is set.

    May be called again. Never raises.
    """
    try:
        _tracer.install(provider=provider)
    except Exception as fault:
        _internal(fault)
