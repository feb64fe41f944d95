"""
What the routes share: the store, the batcher before it, who may ask, what is counted.

The event loop never waits for a disk: reads run in a few threads of their own, writes in the
batcher's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from starlette.requests import Request

from clew.errors import StoreBusy, StoreUnavailable
from clew.graph import Graph
from clew.ingest import Batcher, Receipt
from clew.jobs.learn import LearnJob
from clew.jobs.retention import RetentionJob
from clew.query import GraphQuestions
from clew.server.auth import ANYBODY, LOCAL, Caller, Gate, Policy, admit
from clew.server.body import Budget
from clew.server.hosts import AllowedHosts, is_loopback
from clew.server.live import Live
from clew.server.meter import Meter
from clew.server.problem import Unauthenticated
from clew.server.settings import ServerSettings
from clew.store.protocol import Store
from clew.wire import Decoded

T = TypeVar("T")

READERS = 4
"""Threads that read. More would only take turns: the store's reads are mostly CPU."""

DRAIN_S = 30.0


class Runtime:
    """One running server. Owns the store that it is given, and closes it."""

    def __init__(self, store: Store, settings: ServerSettings) -> None:
        self.store = store
        self.settings = settings
        self.batcher = Batcher(store, max_queue_bytes=settings.max_queue_bytes, second_process=settings.second_process)
        self.budget = Budget(settings.max_queue_bytes)
        self.hosts = AllowedHosts(settings.host, settings.allowed_hosts)
        self.gate = Gate(store.find_key, admin_key=settings.admin_key, bound_to_loopback=is_loopback(settings.host))
        self.meter = Meter()
        self.live = Live(settings.event_bus)
        self.graphs = GraphQuestions(store)
        self.learner = LearnJob(store, on_learned=self.learned, quiet_s=settings.learn_after_s)
        self.retention = RetentionJob(store, settings.retention, learns=settings.learn)
        self.started_at = time.time()
        self.closing = False
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="clew-read")

    def start(self) -> None:
        """Start the batcher's threads, learn, let old traces go, and listen to the other servers."""
        self.batcher.start()
        if self.settings.learn:
            self.learner.start()
        self.retention.start()
        self.live.start()

    def close(self) -> None:
        """Store what was accepted, then let go of everything. Blocks; idempotent."""
        self.closing = True
        self.batcher.close(DRAIN_S)
        self.learner.close()
        self.retention.close()
        self.live.disconnect()
        self._readers.shutdown(wait=True)
        self.store.close()

    def learned(self, project: str, delta: Graph, version: int) -> None:
        """Show at once what was learned: the `on_learned` of a `LearnJob`."""
        self.meter.learned_traces += max(0, delta.trace_count)
        self.graphs.learned(project, delta, version)

    async def read(self, ask: Callable[..., T], *args: object) -> T:
        """Run a blocking question in one of the reading threads."""
        if self.closing:
            raise StoreUnavailable("the server is shutting down")
        return await asyncio.get_running_loop().run_in_executor(self._readers, lambda: ask(*args))

    async def write(self, project: str, body: bytes, decode: Callable[[bytes], Decoded]) -> Receipt:
        """
        Decode *body* and make it durable, off the event loop.

        Raises:
            StoreBusy, StoreUnavailable: nothing was written; retrying is safe.
            MalformedBody, TooLarge, UnsupportedMedia: from *decode*; nothing was written.
        """
        if self.closing:
            raise StoreBusy("the server is shutting down")
        began = time.perf_counter()
        watched = self.live.watched(decode)
        receipt = await asyncio.wrap_future(self.batcher.submit(project, body, watched or decode))
        self.meter.commit.observe(time.perf_counter() - began)
        if watched is not None:
            await self.live.publish(project, watched.events)
        return receipt

    async def authorise(self, request: Request, policy: Policy) -> Caller:
        """
        Say who asks, or refuse.

        Raises:
            Unauthenticated: no key, or a wrong one.
            Forbidden: a key with another scope, or a request made by another site.
        """
        if policy is Policy.PUBLIC:
            return ANYBODY
        key_hash = self.gate.claimed_hash(request, policy)
        if key_hash is None:
            return LOCAL
        record = self.gate.remembered(key_hash) or await self.read(self.gate.look_up, key_hash)
        if record is None:
            raise Unauthenticated("this key is wrong, or was revoked")
        return admit(Caller(record.scope, record.project), policy)
