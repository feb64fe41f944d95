"""100,000 requests, a tenth of them stored: the server's percentiles and map are those of all of them."""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import httpx
import msgspec
import pytest

from clew.jobs.learn import LearnJob
from clew.sdk.packing import PackedBody
from clew.sdk.sampler import Ready, Sampler
from clew.server.app import create_app
from clew.server.settings import ServerSettings
from clew.store import open_store
from clew.wire.native import NativeSpan

KEY = "sesame-of-the-tests"
REQUESTS = 100_000
MS = 1_000_000
HOUR_NS = 3_600 * 10**9
SHARES = {"chat": 0.5, "search": 0.35, "report": 0.15}
STEPS = {"chat": ("retrieve", "generate"), "search": ("retrieve",), "report": ()}
MEDIAN_MS = {"chat": 900, "search": 60, "report": 4_000}

_encode = msgspec.msgpack.Encoder().encode


class Request(NamedTuple):
    """One request as it really was."""

    name: str
    spans: list[NativeSpan]
    is_kept: bool
    is_flagged: bool
    is_error: bool

    @property
    def duration_ns(self) -> int:
        return (self.spans[-1].end_ns or 0) - self.spans[-1].start_ns


def requests(begin_ns: int) -> Iterator[Request]:
    """Lognormal latencies over half an hour; one in a hundred fails, some are flagged, some the user keeps."""
    chance = random.Random(20_261_121)
    names = chance.choices(list(SHARES), list(SHARES.values()), k=REQUESTS)
    for number, name in enumerate(names):
        trace_id, start_ns = f"{chance.getrandbits(128):032x}", begin_ns + number * HOUR_NS // 2 // REQUESTS
        failing = chance.randrange(len(STEPS[name]) + 1) if chance.random() < 0.01 else -1
        is_flagged = chance.random() < 0.004
        spans, at_ns = [], start_ns + 1_000
        for step, kind in enumerate(STEPS[name]):
            took_ns = round(chance.lognormvariate(math.log(MEDIAN_MS[name] / 3), 0.6) * MS)
            spans.append(a_span(trace_id, step + 1, kind, at_ns, at_ns + took_ns, failed=failing == step))
            at_ns += took_ns
        ends_ns = at_ns + round(chance.lognormvariate(math.log(MEDIAN_MS[name] / 3), 0.6) * MS)
        root = a_span(trace_id, 0, name, start_ns, ends_ns, failed=failing == len(spans))
        if is_flagged:
            root.attributes = {"confidence": 0.2}
        yield Request(name, [*spans, root], chance.random() < 0.002, is_flagged, failing >= 0)


def a_span(  # noqa: PLR0917
    trace_id: str, number: int, name: str, start_ns: int, end_ns: int, failed: bool
) -> NativeSpan:
    kind = {"retrieve": "retrieval", "generate": "generation"}.get(name, "root")
    return NativeSpan(
        trace_id=trace_id,
        span_id=f"{number + 1:016x}",
        parent_id=f"{1:016x}" if number else None,
        name=name,
        kind=kind,  # type: ignore[arg-type]
        start_ns=start_ns,
        end_ns=end_ns,
        status="error" if failed else "ok",
    )


class Truth:
    """What really happened."""

    def __init__(self) -> None:
        self.durations_ns: dict[str, list[int]] = {}
        self.errors: Counter[str] = Counter()
        self.requests: list[tuple[Request, str]] = []

    def note(self, request: Request) -> None:
        for span in request.spans:
            self.durations_ns.setdefault(span.name, []).append((span.end_ns or 0) - span.start_ns)
            self.errors[span.name] += span.status == "error"
        self.requests.append((request._replace(spans=request.spans[-1:]), request.spans[-1].trace_id))

    def percentile_ms(self, name: str, share: float) -> float:
        ordered = sorted(self.durations_ns[name])
        return ordered[max(1, math.ceil(share * len(ordered))) - 1] / MS


class Sending:
    """The writer's part: bodies of some hundred spans, and deltas."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._waiting: Ready = []
        self.stored: set[str] = set()
        self.deltas = 0

    async def take(self, ready: Ready, *, least: int = 2_000) -> None:
        self._waiting += ready
        if not self._waiting or len(self._waiting) < least:
            return
        natives, packed = zip(*self._waiting, strict=True)
        self._waiting = []
        self.stored |= {native.trace_id for native in natives}
        body = PackedBody(spans=list(natives), packed=list(packed)).encode()
        answer = await self._client.post("/api/v1/spans", content=body, headers={"content-type": "application/msgpack"})
        assert answer.json()["rejected"] == []

    async def tell(self, body: bytes | None) -> None:
        if body is None:
            return
        self.deltas += 1
        for applied in (True, False):  # Each comes twice, as if the first answer had been lost.
            headers = {"content-type": "application/msgpack"}
            answer = await self._client.post("/api/v1/graph/deltas", content=body, headers=headers)
            assert answer.json() == {"applied": applied}


@pytest.fixture
async def client(tmp_path):
    """Give a client of a server on SQLite; `learn()` learns what is due."""
    store = open_store(f"sqlite:///{tmp_path}/clew.db", text_search=False)
    app = create_app(store, ServerSettings(admin_key=KEY, learn=False))
    app.runtime.start()
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:4319", headers=headers) as http:
        http.learn = LearnJob(store, now_ns=lambda: 1 << 62, on_learned=app.runtime.learned).learn_once
        yield http
    app.runtime.close()


async def test_percentiles_and_map_are_those_of_all_traffic_at_a_tenth_stored(client):
    truth, sending, now_ns = Truth(), Sending(client), [0]
    sampler = Sampler(0.1, now_ns=lambda: now_ns[0])
    for number, request in enumerate(requests(time.time_ns() - HOUR_NS)):
        truth.note(request)
        now_ns[0] = request.spans[0].start_ns
        for span in request.spans:
            is_root = span.parent_id is None
            await sending.take(sampler.take(span, _encode(span), is_root=is_root, kept=is_root and request.is_kept))
        if number % 1_000 == 0:
            await sending.take(sampler.tick(now_ns[0]))
            await sending.tell(sampler.deltas(now_ns[0]))
    await sending.take(sampler.drain(), least=1)
    await sending.tell(sampler.deltas(now_ns[0], force=True))
    while client.learn():
        pass

    assert sending.deltas > 50
    await check_percentiles(client, truth)
    await check_map(client)
    check_what_is_stored(truth, sending.stored)


async def check_percentiles(client, truth):
    answer = await client.get("/api/v1/admin/traces/metrics/latency?group_by=name&lookback_days=1")
    operations = {each["name"]: each for each in answer.json()["operations"]}
    assert operations.keys() == truth.durations_ns.keys()
    for name, found in operations.items():
        assert (found["count"], found["errors"]) == (len(truth.durations_ns[name]), truth.errors[name])
        for share in (50, 95, 99):
            assert found[f"p{share}_ms"] == pytest.approx(truth.percentile_ms(name, share / 100), rel=0.01)


async def check_map(client):
    """Exact, not about right."""
    names = random.Random(20_261_121).choices(list(SHARES), list(SHARES.values()), k=REQUESTS)
    runs = Counter(names)
    edges = (await client.get("/api/v1/admin/graph/edges?limit=100")).json()["edges"]
    counts = {(each["origin"]["name"], each["target"]["name"], each["type"]): each["count"] for each in edges}
    assert counts == {
        ("chat", "retrieve", "contains"): runs["chat"],
        ("chat", "generate", "contains"): runs["chat"],
        ("retrieve", "generate", "sequence"): runs["chat"],
        ("search", "retrieve", "contains"): runs["search"],
    }
    nodes = (await client.get("/api/v1/admin/graph/nodes?limit=100")).json()["nodes"]
    assert {each["name"]: each["count"] for each in nodes} == {
        **runs, "retrieve": runs["chat"] + runs["search"], "generate": runs["chat"]
    }  # fmt: skip


def check_what_is_stored(truth, stored):
    """All that failed, was flagged, kept or slow; of the rest a tenth."""
    usual = {name: truth.percentile_ms(name, 0.93) * MS for name in SHARES}
    slow = {name: truth.percentile_ms(name, 0.98) * MS for name in SHARES}
    seen: Counter[str] = Counter()
    plain = plain_stored = 0
    for request, trace_id in truth.requests:
        seen[request.name] += 1
        if request.is_error or request.is_kept or request.is_flagged:
            assert trace_id in stored, request
        elif request.duration_ns > slow[request.name] and seen[request.name] > 200:
            assert trace_id in stored, (request, usual)
        elif request.duration_ns < usual[request.name]:
            plain, plain_stored = plain + 1, plain_stored + (trace_id in stored)
    assert plain > 80_000
    assert plain_stored / plain == pytest.approx(0.1, abs=0.005)
