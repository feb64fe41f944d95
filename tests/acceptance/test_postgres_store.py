"""A real `clew serve` on a real PostgreSQL: alone, two on one database, and no server at all."""

import os
import subprocess
import sys
import time
from functools import partial

import pytest

from clew.store import open_store
from clew.testing.store_contract import a_span_id, a_trace_id, ids


def body(number):
    span = {"trace_id": a_trace_id(number), "span_id": a_span_id(number), "name": "ask", "kind": "tool"}
    now_ns = time.time_ns()
    return {"spans": [span | {"start_ns": now_ns, "end_ns": now_ns + 1_000_000, "inputs": f"word{number}"}]}


@pytest.fixture
def servers(postgres_schema, serve):
    """Give what starts servers on one database, each in a process of its own."""
    return partial(serve, store=postgres_schema)


def test_two_servers_on_one_database_show_the_same(servers):
    """Whoever takes a span in, all of them show it; a retry elsewhere changes nothing."""
    one, other = servers(), servers()
    assert one.anybody.post("/api/v1/spans", json=body(0)).json()["accepted"] == 1
    assert other.anybody.post("/api/v1/spans", json=body(0)).json()["accepted"] == 1
    assert other.anybody.post("/api/v1/spans", json=body(1)).json()["accepted"] == 1
    for server in (one, other):
        found = server.admin.get("/api/v1/admin/traces/", params={"text": "word1"}).json()
        assert [trace["trace_id"] for trace in found["traces"]] == [a_trace_id(1)]
        assert len(server.admin.get(f"/api/v1/admin/traces/{a_trace_id(0)}").json()["spans"]) == 1


def test_a_killed_server_loses_nothing_that_it_acknowledged(servers):
    """And the next one starts at once: no lock outlives its process."""
    server = servers()
    for number in range(5):
        assert server.anybody.post("/api/v1/spans", json=body(number)).status_code == 200
    server.kill()
    again = servers()
    assert len(again.admin.get("/api/v1/admin/traces/").json()["traces"]) == 5


def test_a_database_that_is_away_is_a_503_and_comes_back(servers, postgres):
    """Never a false 200; nothing has to be restarted."""
    server = servers()
    assert server.anybody.post("/api/v1/spans", json=body(0)).status_code == 200
    postgres.stop()
    try:
        away = server.anybody.post("/api/v1/spans", json=body(1))
        assert (away.status_code, "retry-after" in away.headers) == (503, True)
        assert server.anybody.get("/readyz").status_code == 503
    finally:
        postgres.start()
    assert server.anybody.post("/api/v1/spans", json=body(1)).json()["accepted"] == 1
    assert server.anybody.get("/readyz").status_code == 200


def test_straight_from_the_application_with_no_server(postgres_schema):
    """CLEW_ENDPOINT=postgresql://…"""
    code = "import clew\nwith clew.span('ask', kind='tool'): pass\nassert clew.flush(20)"
    environment = {**os.environ, "CLEW_ENDPOINT": postgres_schema}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=environment)
    store = open_store(postgres_schema, read_only=True)
    assert len(ids(store)) == 1
    store.close()


def test_the_doctor_examines_it_and_shows_no_password(postgres_schema, clew_command):
    """The tests' server does not wait for its disk, and that is a thing to be told."""
    open_store(postgres_schema).close()
    result = clew_command("doctor", "--store", postgres_schema.replace("clew@", "clew:sesame@"))
    assert "fsync = off" in result.stdout
    assert "connections" in result.stdout
    assert "sesame" not in result.stdout + result.stderr
    assert result.returncode == 1


def test_a_wrong_database_is_one_clear_line(postgres, clew_command):
    """Exit status 2, as for any wrong setting."""
    result = clew_command("serve", "--port", "0", "--store", postgres.url.replace("/postgres", "/nowhere"))
    assert result.returncode == 2
    assert "createdb" in result.stderr
    assert "Traceback" not in result.stderr
