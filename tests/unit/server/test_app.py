"""The server on a store that fails, in one process."""

from __future__ import annotations

import httpx
import pytest

from clew.errors import StoreUnavailable
from clew.server.app import create_app
from clew.server.settings import ServerSettings
from clew.store.memory import MemoryStore

KEY = "sesame-of-the-tests"
SPAN = {"trace_id": "a" * 32, "span_id": "b" * 16, "name": "x", "start_ns": 1_795_163_400_000_000_000}


class Failing(MemoryStore):
    """A store whose disk has gone."""

    fails_with: Exception | None = None

    def _maybe(self) -> None:
        if self.fails_with is not None:
            raise self.fails_with

    def write(self, batches):
        self._maybe()
        return super().write(batches)

    def find_key(self, key_hash):
        self._maybe()
        return super().find_key(key_hash)

    def list_traces(self, *args, **kwargs):
        self._maybe()
        return super().list_traces(*args, **kwargs)


@pytest.fixture
def store():
    """Give a store that works until told otherwise."""
    return Failing()


@pytest.fixture
async def client(store):
    """Give a client of a running server."""
    app = create_app(store, ServerSettings(admin_key=KEY))
    app.runtime.start()
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:4319", headers=headers) as http:
        http.app = app
        yield http
    app.runtime.close()


async def test_ready_means_that_the_store_answers(client, store):
    """A balancer sends nothing to a server that could not store it."""
    assert (await client.get("/readyz")).status_code == 200

    store.fails_with = StoreUnavailable("the disk is gone")

    assert (await client.get("/readyz")).status_code == 503
    assert (await client.get("/healthz")).status_code == 200


async def test_a_disk_that_fails_is_503_and_the_next_write_is_taken(client, store):
    """Never a false 200; and nothing has to be restarted."""
    store.fails_with = StoreUnavailable("the disk is full")
    refused = await client.post("/api/v1/spans", json={"spans": [SPAN]})
    otlp = await client.post("/v1/traces", content=b"", headers={"content-type": "application/x-protobuf"})
    store.fails_with = None

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert otlp.status_code in (200, 503)  # an empty batch needs no disk
    assert (await client.post("/api/v1/spans", json={"spans": [SPAN]})).json()["accepted"] == 1


async def test_a_server_that_shuts_down_takes_and_shows_nothing(client):
    """503, so that the client comes back to the next one."""
    client.app.runtime.close()

    assert (await client.post("/api/v1/spans", json={"spans": [SPAN]})).status_code == 503
    assert (await client.get("/api/v1/admin/traces/")).status_code == 503
    assert (await client.get("/readyz")).status_code == 503


async def test_what_nobody_foresaw_is_500_and_says_nothing(client, store, caplog):
    """The log has the traceback; the client has no path, key or prompt out of it."""
    store.fails_with = RuntimeError("secret in /etc")

    answer = await client.get("/api/v1/admin/traces/")

    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "secret" in caplog.text


async def test_what_json_cannot_say_is_null(client):
    """One NaN must not make a whole page unreadable."""
    body = {"spans": [SPAN | {"end_ns": SPAN["start_ns"] + 5, "attributes": {"confidence": 0.7}}]}
    await client.post("/api/v1/spans", json=body)

    assert "NaN" not in (await client.get(f"/api/v1/admin/traces/{'a' * 32}")).text


async def test_the_budget_is_whole_again_after_every_request(client):
    """Whatever became of them."""
    for content in (b"{", b"{}", b"\xff", b"[]"):
        await client.post("/api/v1/spans", content=content, headers={"content-type": "application/json"})
        await client.post("/api/v1/scores", content=content, headers={"content-type": "application/json"})
        await client.post("/api/v1/login", content=content, headers={"content-type": "application/json"})

    assert client.app.runtime.budget.held_bytes == 0
