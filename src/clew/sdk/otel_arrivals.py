"""
OpenTelemetry's global propagator, which knows what Clew has made of a request already.

FastAPI and OpenTelemetry's middlewares read the headers of each request. Where Clew's middleware
was there first, the parent that they find is that of Clew's span, or none; they mean that span. So
what is read here is marked, and the mark is understood where the context is used as a parent.
"""

from __future__ import annotations

import opentelemetry.context as api
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.context.context import _RuntimeContext
from opentelemetry.propagators import textmap
from opentelemetry.propagators.textmap import CarrierT, Getter, Setter, TextMapPropagator

from clew.sdk.ambient import current
from clew.sdk.otel_context import ARRIVED, SharedContext, parent_in
from clew.sdk.otel_spans import SPAN_KEY, span_of
from clew.sdk.otel_values import complain, internal
from clew.sdk.span import ActiveSpan


class OwnProvider:
    """What marks Clew's own provider: its tracers understand the mark."""


class Arrivals(TextMapPropagator):
    """The propagator that was there, and the mark."""

    def __init__(self, inner: TextMapPropagator) -> None:
        self.inner = inner

    def extract(
        self, carrier: CarrierT, context: Context | None = None, getter: Getter[CarrierT] = textmap.default_getter
    ) -> Context:
        """Read *carrier*."""
        found = Context() if context is None else context
        try:
            found = self.inner.extract(carrier, context, getter)
            return found if context is not None else _marked(found)
        except Exception as error:
            internal(error)
            return found

    def inject(
        self, carrier: CarrierT, context: Context | None = None, setter: Setter[CarrierT] = textmap.default_setter
    ) -> None:
        """Write the current span, whoever opened it, into *carrier*."""
        try:
            self.inner.inject(carrier, context, setter)
        except Exception as error:
            internal(error)

    @property
    def fields(self) -> set[str]:
        """The names of the headers."""
        return self.inner.fields


def _marked(found: Context) -> Context:
    now = current()
    if not isinstance(now, ActiveSpan):
        return found
    marked = Context({**found, ARRIVED: True})
    if isinstance(trace.get_tracer_provider(), OwnProvider):
        return marked
    # Another provider does not know the mark, so it is told the parent itself.
    return Context({**found, SPAN_KEY: span_of(now)}) if parent_in(marked, now) is now else found


def share() -> None:
    """Put Clew's context and the mark under OpenTelemetry's API. Does nothing the second time."""
    runtime = getattr(api, "_RUNTIME_CONTEXT", None)
    if not isinstance(runtime, _RuntimeContext):
        complain("context", "this version of opentelemetry-api keeps its context elsewhere; spans will not join")
        return
    if not isinstance(runtime, SharedContext):
        api._RUNTIME_CONTEXT = SharedContext(runtime)
    propagator = propagate.get_global_textmap()
    if not isinstance(propagator, Arrivals):
        propagate.set_global_textmap(Arrivals(propagator))
