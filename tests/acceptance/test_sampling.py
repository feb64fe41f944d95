"""Product mode, from an application's process to a real server's answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

KEY = "sesame-of-the-tests"
LEARNED_WITHIN_S = 30.0

SERVICE = """
import json, sys, threading, time, clew

clew.configure({url!r}, api_key={key!r}, mode="product", sample_rate={rate!r}, sample_rates={{"pay": 1}})
ids = {{}}

def request(name, **attributes):
    with clew.span(name, kind="root") as root:
        root.set(**attributes)
        with clew.span("look", kind="tool") as found:
            found.outputs = {{"order": f"order-{{len(ids)}}-{{name}}"}}
        with clew.span("book", kind="tool", inputs={{"order": f"order-{{len(ids)}}-{{name}}"}}) as booked:
            if "fail" in attributes:
                booked.fail("no seat")
            if "keep" in attributes:
                booked.keep()
    return root.trace_id

for number in range(50):
    ids[f"plain {{number}}"] = request("ask")
ids["failed"] = request("ask", fail=1)
ids["kept"] = request("ask", keep=1)
ids["unsure"] = request("ask", confidence=0.1)
ids["paid"] = request("pay")
assert clew.flush(30)
clew.score("rating", 1, trace_id=ids["plain 7"])
clew.score("rating", 5, trace_id=ids["plain 8"])
print(json.dumps(ids))
"""
"""54 requests of three spans. It ends without a flush after the scores: the exit drains."""


def run_service(server: Any, rate: float, **environ: str) -> dict[str, str]:
    code = SERVICE.format(url=server.url, key=KEY, rate=rate)
    own = {name: value for name, value in os.environ.items() if not name.startswith("CLEW_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=own | {"CLEW_SPOOL": "0"} | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    ids: dict[str, str] = json.loads(done.stdout)
    return ids


def stored(server: Any) -> set[str]:
    page = server.admin.get("/api/v1/admin/traces?limit=200").json()
    return {trace["trace_id"] for trace in page["traces"]}


def counts(server: Any) -> dict[str, int]:
    answer = server.admin.get("/api/v1/admin/traces/metrics/latency?group_by=name&lookback_days=1").json()
    return {each["name"]: each["count"] for each in answer["operations"]}


def edges(server: Any) -> dict[tuple[str, str, str], int]:
    answer = server.admin.get("/api/v1/admin/graph/edges?limit=100").json()
    return {(each["origin"]["name"], each["target"]["name"], each["type"]): each["count"] for each in answer["edges"]}


def soon(look: Callable[[], Any], wanted: Any) -> None:
    """Wait for what a server does when it gets round to it."""
    until, waiting = time.monotonic() + LEARNED_WITHIN_S, threading.Event()
    while (found := look()) != wanted and time.monotonic() < until:
        waiting.wait(0.1)
    assert found == wanted


def test_of_plain_requests_none_is_stored_and_all_are_counted(serve):
    """At a rate of nothing: what failed, was kept, is flagged, is of a stored operation or was complained of."""
    server = serve(CLEW_LEARN_AFTER_S="0.05")
    ids = run_service(server, 0.0)

    remarkable = {ids[name] for name in ("failed", "kept", "unsure", "paid", "plain 7")}
    soon(lambda: stored(server), remarkable)
    assert counts(server) == {"ask": 53, "pay": 1, "look": 54, "book": 54}
    soon(
        lambda: edges(server),
        {
            ("ask", "look", "contains"): 53,
            ("ask", "book", "contains"): 53,
            ("pay", "look", "contains"): 1,
            ("pay", "book", "contains"): 1,
            ("look", "book", "sequence"): 54,
            ("look", "book", "provides"): 54,
        },
    )
    trace = server.admin.get(f"/api/v1/admin/traces/{ids['plain 7']}").json()
    assert len(trace["spans"]) == 3
    assert trace["trace"]["flag"] == "USER_NEGATIVE"


def test_the_graph_is_the_one_of_develop_mode(serve, tmp_path):
    """Stored and told together are what a server learns that is sent everything."""
    product = serve(store=tmp_path / "product.db", CLEW_LEARN_AFTER_S="0.05")
    run_service(product, 0.1)
    develop = serve(store=tmp_path / "develop.db", CLEW_LEARN_AFTER_S="0.05")
    run_service(develop, 1.0)

    soon(lambda: edges(product), edges_of(develop))
    assert len(stored(develop)) == 54
    assert len(stored(product)) < 25
    assert counts(product) == counts(develop)
    variants = [
        server.admin.get("/api/v1/admin/graph/variants?capability=root:ask").json() for server in (product, develop)
    ]
    assert [[each["count"] for each in found["variants"]] for found in variants] == 2 * [
        [each["count"] for each in variants[0]["variants"]]
    ]


def edges_of(server: Any) -> dict[tuple[str, str, str], int]:
    soon(lambda: edges(server).get(("look", "book", "provides")), 54)
    return edges(server)


def test_straight_into_a_store_product_mode_counts_as_well(tmp_path, serve):
    """`CLEW_ENDPOINT=sqlite:///…` has no server that could add up."""
    store = tmp_path / "direct.db"

    class Direct:
        url = f"sqlite:///{store}"

    run_service(Direct, 0.0)
    assert counts(serve(store=store)) == {"ask": 53, "pay": 1, "look": 54, "book": 54}


def test_sums_wait_for_a_server_that_is_away(serve, tmp_path):
    """What was counted meanwhile is sent when the server is there again."""
    server = serve(store=tmp_path / "clew.db")
    port = str(server.port)
    server.kill()
    code = SERVICE.format(url=server.url, key=KEY, rate=0.0)
    code = code.replace(
        "assert clew.flush(30)", "clew.flush(0.2); print('away', flush=True); input(); assert clew.flush(30)"
    )
    own = {name: value for name, value in os.environ.items() if not name.startswith("CLEW_")}
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=own | {"CLEW_SPOOL": str(tmp_path / "spool")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as service:
        assert service.stdout is not None
        assert service.stdout.readline() == "away\n"
        again = serve("--port", port, store=tmp_path / "clew.db")
        service.communicate("\n", timeout=60)
    assert service.returncode == 0
    assert counts(again) == {"ask": 53, "pay": 1, "look": 54, "book": 54}
    assert len(stored(again)) == 5


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"CLEW_MODE": "production"}, "CLEW_MODE"),
        ({"CLEW_SAMPLE_RATE": "10"}, "CLEW_SAMPLE_RATE"),
        ({"CLEW_SAMPLE_RATE": "nan"}, "CLEW_SAMPLE_RATE"),
        ({"CLEW_SAMPLE_RATES": "chat:0.5"}, "CLEW_SAMPLE_RATES"),
        ({"CLEW_SAMPLE_RATES": "chat=5"}, "CLEW_SAMPLE_RATES"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_by_configure(environ, said):
    """And by nobody else: spans are never the place where it is raised."""
    code = "import clew\ntry:\n    clew.configure()\nexcept Exception as error:\n    print(type(error).__name__, error)"
    own = {name: value for name, value in os.environ.items() if not name.startswith("CLEW_")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=own | environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.startswith(f"ConfigError {said}: "), (done.stdout, done.stderr)
