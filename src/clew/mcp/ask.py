"""Whom the MCP server asks: something that answers as the admin API does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

Question = Literal["suggest", "path", "plan", "similar", "search"]
"""The questions to the graph that agents may put."""

Params = Sequence[tuple[str, str]]


class Asker(Protocol):
    """Answers with the JSON bodies of the admin API, from a server or straight from a store."""

    def traces(self, params: Params) -> dict[str, Any]:
        """Give the body of `GET /api/v1/admin/traces/`."""

    def trace(self, project: str, trace_id: str) -> dict[str, Any]:
        """Give the body of `GET /api/v1/admin/traces/{trace_id}`."""

    def latency(self, params: Mapping[str, str]) -> dict[str, Any]:
        """Give the body of `GET /api/v1/admin/traces/metrics/latency`."""

    def graph(self, question: str, params: Params) -> dict[str, Any]:
        """Give the body of `GET /api/v1/admin/graph/{question}`."""

    def close(self) -> None:
        """Let go of the store or the connection."""
