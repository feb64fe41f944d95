"""Erasing over HTTP: for admins, exactly whom they name."""

from __future__ import annotations

import time

import httpx
import pytest

from clew.errors import StoreBusy
from clew.server.app import create_app
from clew.server.auth import hash_key
from clew.server.settings import ServerSettings
from clew.store.memory import MemoryStore
from clew.store.protocol import KeyRecord
from clew.testing.store_contract import a_span, a_trace_id, put
from clew.testing.store_contract_retention import listed

KEY, READ = "sesame-of-the-tests", "only-for-reading"
TRACES = "/api/v1/admin/traces"


@pytest.fixture
def store():
    store = MemoryStore()
    for project in ("default", "b"):
        put(store, a_span(0, user_id="ana", session_id="s"), a_span(1), project=project)
    store.add_key(
        KeyRecord(key_hash=hash_key(READ), scope="read", project="default", label="", created_ns=time.time_ns())
    )
    return store


@pytest.fixture
async def client(store):
    app = create_app(store, ServerSettings(admin_key=KEY))
    app.runtime.start()
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:4319", headers=headers) as http:
        yield http
    app.runtime.close()


@pytest.mark.parametrize(
    "path", [f"{TRACES}?user_id=ana", f"{TRACES}/?session_id=s", f"{TRACES}/{a_trace_id(0)}"], ids=str
)
async def test_an_admin_erases_in_every_project(client, store, path):
    """Unless one is named."""
    answer = (await client.delete(path)).json()
    assert answer == {
        "traces": 2,
        "spans": 2,
        "projects": ["b", "default"],
        "trace_ids": [a_trace_id(0)],
        "scrubbed": True,
    }
    assert [listed(store, project) for project in ("default", "b")] == [{a_trace_id(1)}] * 2


async def test_one_project_can_be_named(client, store):
    """Two applications may have a user of one id."""
    assert (await client.delete(f"{TRACES}/{a_trace_id(0)}?project=b")).json()["projects"] == ["b"]
    assert len(listed(store)) == 2


@pytest.mark.parametrize("query", ["", "?user_id=", "?user_id=ana&session_id=s", "?flag=EMPTY", "?user_id=a&scrub=x"])
async def test_what_names_nobody_erases_nothing(client, store, query):
    """An empty name must never be read as everybody."""
    assert (await client.delete(TRACES + query)).status_code == 400
    assert len(listed(store)) == 2


async def test_only_an_admin_may(client, store):
    """A key that reads does not erase, nor does who has none."""
    for headers, status in (({"authorization": f"Bearer {READ}"}, 403), ({"authorization": ""}, 401)):
        assert (await client.delete(f"{TRACES}?user_id=ana", headers=headers)).status_code == status
    assert len(listed(store)) == 2


async def test_what_cannot_be_cleaned_now_is_said(client, store, monkeypatch):
    """It is erased all the same, and retention cleans the files."""

    def busy():
        raise StoreBusy("somebody reads")

    monkeypatch.setattr(store, "scrub", busy)
    answer = (await client.delete(f"{TRACES}?user_id=ana")).json()
    assert (answer["traces"], answer["scrubbed"]) == (2, False)
