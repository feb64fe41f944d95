"""What the demo says over HTTP: questions to the service, and one trace at a time from Clew."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from examples.hybrid_rag.demo.processes import DemoError
from examples.hybrid_rag.demo.script import Ask
from examples.hybrid_rag.demo.shape import differences, seen_in

ANSWER_WITHIN_S = 120
TRACE_WITHIN_S = 15
LEARNED_WITHIN_S = 30.0
"""A trace is learned when nothing of it came for two seconds."""
POLL_S = 0.1


class Service:
    """The RAG service, as its users see it."""

    def __init__(self, url: str) -> None:
        # Everything is on this machine, so a proxy in the environment is none of our business.
        self._http = httpx.Client(base_url=url, timeout=ANSWER_WITHIN_S, trust_env=False)

    def ask(self, ask: Ask, on_token: Callable[[str], None]) -> dict[str, Any]:
        """Ask, and give what the service says of its answer. *on_token* gets the pieces of a stream."""
        body = {"question": ask.question, "strategy": ask.strategy, "stream": ask.stream, "session_id": "demo"}
        headers = {"authorization": f"Bearer demo-{ask.user}"}
        with self._http.stream("POST", "/api/v1/query", json=body, headers=headers) as response:
            if response.status_code != 200:
                response.read()
                raise DemoError(f"the service answered {response.status_code}: {response.text}")
            if not ask.stream:
                return dict(json.loads(response.read()))
            for event, data in server_sent_events(response.iter_lines()):
                if event == "token":
                    on_token(data["text"])
                elif event == "done":
                    return data
        raise DemoError("the stream broke off before its `done`")

    def rate(self, ask: Ask, trace_id: str) -> None:
        """Score an answer."""
        body = {"trace_id": trace_id, "rating": ask.rating, "comment": ask.comment}
        headers = {"authorization": f"Bearer demo-{ask.user}"}
        self._http.post("/api/v1/feedback", json=body, headers=headers).raise_for_status()


class Clew:
    """The Clew server, asked as its page asks."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.key = key
        self._http = httpx.Client(base_url=url, trust_env=False, headers={"authorization": f"Bearer {key}"})

    def trace_when_complete(self, trace_id: str, ask: Ask) -> dict[str, Any] | None:
        """Give the trace once it is as it must be; after a while, as it is; None if it never came."""
        deadline = time.monotonic() + TRACE_WITHIN_S
        while True:
            trace = self._trace(trace_id)
            is_complete = trace and not differences(ask.expected, seen_in(trace["spans"]))
            if (is_complete and trace and trace["trace"]["flag"] == ask.flag) or time.monotonic() > deadline:
                return trace
            time.sleep(POLL_S)

    def learned_when_settled(self, traces: int) -> bool:
        """Wait until the graph was taught *traces* traces or more; False if that takes too long."""
        deadline = time.monotonic() + LEARNED_WITHIN_S
        while True:
            response = self._http.get("/api/v1/admin/graph/summary")
            response.raise_for_status()
            if response.json()["traces"] >= traces:
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)

    def link(self, trace_id: str) -> str:
        """Give the address of a trace on the page."""
        return f"{self.url}/#/traces/{trace_id}"

    def login_link(self) -> str:
        """Give the address that opens the page without asking for the key."""
        return f"{self.url}/#key={self.key}"

    def _trace(self, trace_id: str) -> dict[str, Any] | None:
        response = self._http.get(f"/api/v1/admin/traces/{trace_id}")
        if response.status_code == 404:
            return None
        response.raise_for_status()
        return dict(response.json())


def server_sent_events(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read (event, data) from the lines of a text/event-stream."""
    event = ""
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            event = value
        elif field == "data":
            yield event, json.loads(value)
