"""From an SDK's spans to the graph's answers: a real server learns, and is asked by HTTP and on the command line."""

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

from clew.cli.app import app

AGENT = """
import asyncio, clew

clew.configure(endpoint={url!r}, api_key={key!r}, service="agent")

@clew.traced(kind="tool")
async def get_user(user_id):
    return {{"user_id": user_id, "home": "Knossos-7734"}}

@clew.traced(kind="tool")
async def search_flights(home):
    await asyncio.sleep(0.002)
    return [{{"flight_id": f"flight-{{home}}-1"}}]

@clew.traced(kind="tool")
async def search_hotels(home):
    await asyncio.sleep(0.002)
    return [{{"hotel_id": f"hotel-{{home}}-1"}}]

@clew.traced(kind="tool")
async def book_flight(flight_id):
    if "never" in flight_id:
        raise RuntimeError("no seat")
    return {{"booking": "B-" + flight_id}}

@clew.traced(kind="tool")
async def send_receipt(booking):
    return "sent"

@clew.traced(kind="capability")
async def book_trip(user_id):
    user = await get_user(user_id)
    flights, hotels = await asyncio.gather(search_flights(user["home"]), search_hotels(user["home"]))
    booked = await book_flight(flights[0]["flight_id"])
    return await send_receipt(booked["booking"])

@clew.traced(kind="capability")
async def ask_price(user_id):
    user = await get_user(user_id)
    return await search_flights(user["home"])

async def main():
    for number in range(6):
        with clew.span("request", kind="root", inputs="book me a trip to Crete") as span:
            span.outputs = await book_trip(f"user-{{number}}")
    for number in range(2):
        with clew.span("request", kind="root", inputs="what would it cost") as span:
            span.outputs = await ask_price(f"user-{{number}}")
    with clew.span("request", kind="root", inputs="book me a trip to Crete") as odd:
        with clew.span("book_trip", kind="capability"):
            await get_user("user-9")
            await send_receipt("B-none")
    assert clew.flush(30)
    print(odd.trace_id)

asyncio.run(main())
"""
"""An agent whose tools hand values on, two of them side by side; the last request leaves the usual way."""

TRACES = 9
KEY = "sesame-of-the-tests"
GRAPH = "/api/v1/admin/graph"
LEARNED_WITHIN_S = 30.0

QUESTIONS: dict[str, tuple[list[tuple[str, str]], list[str]]] = {
    "summary": ([], ["show"]),
    "suggest": (
        [("called", "get_user"), ("within", "book_trip"), ("k", "3")],
        ["suggest", "get_user", "--within", "book_trip", "--k", "3"],
    ),
    "path": (
        [("from", "get_user"), ("to", "send_receipt"), ("k", "2")],
        ["path", "get_user", "send_receipt", "--k", "2"],
    ),
    "plan": (
        [("tool", "book_flight"), ("tool", "get_user"), ("tool", "search_flights"), ("tool", "search_hotels")],
        ["plan", "book_flight", "get_user", "search_flights", "search_hotels"],
    ),
    "similar": ([("node", "search_flights")], ["similar", "search_flights"]),
    "search": ([("text", "trip to Crete"), ("k", "4")], ["search", "trip", "to", "Crete", "--k", "4"]),
    "variants": ([("capability", "book_trip")], ["variants", "book_trip"]),
    "diff": ([("before", "1d")], ["diff", "1d"]),
    "nodes": ([("kind", "tool"), ("limit", "3")], ["nodes", "--kind", "tool", "--limit", "3"]),
    "edges": ([("type", "provides")], ["edges", "--type", "provides"]),
    "templates": ([], ["template", "ls"]),
    "arms": ([("question", "suggest")], ["arms", "ls", "suggest"]),
    "ab": ([("days", "1")], ["ab", "--days", "1"]),
}
"""Question -> parameters over HTTP, and the words of the command line."""


def eventually(holds: Callable[[], bool], what: str) -> None:
    """Ask until it holds; fail at a deadline."""
    deadline = time.monotonic() + LEARNED_WITHIN_S
    pause = threading.Event()
    while not holds():
        assert time.monotonic() < deadline, f"not within {LEARNED_WITHIN_S} s: {what}"
        pause.wait(0.05)


class Asked:
    """A server whose agent has run, and how to ask it."""

    def __init__(self, server, project: str, key: str, odd: str) -> None:
        self.server, self.project, self.key, self.odd = server, project, key, odd

    def get(self, question: str, *params: tuple[str, str]) -> dict[str, Any]:
        answer = self.server.admin.get(f"{GRAPH}/{question}", params=[("project", self.project), *params])
        assert answer.status_code == 200, answer.text
        return answer.json()

    def every(self) -> dict[str, Any]:
        """The answer to every question."""
        asked = {name: params for name, (params, _) in QUESTIONS.items()} | {"conform": [("trace_id", self.odd)]}
        return {name: steady(self.get(name, *params)) for name, params in asked.items()}

    def learned(self) -> int:
        return self.get("summary")["traces"]


def steady(answer: Any) -> Any:
    """The answer without what grows old by the second, and without the last digits of floats."""
    if isinstance(answer, dict):
        return {name: steady(value) for name, value in answer.items() if name != "recent_count"}
    if isinstance(answer, list):
        return [steady(each) for each in answer]
    return round(answer, 6) if isinstance(answer, float) else answer


def names(ranked: list[dict[str, Any]]) -> list[str]:
    return [one["node"]["name"] for one in ranked]


def run_agent(server, clew_command, project: str) -> Asked:
    key = clew_command("keys", "create", "--scope", "ingest", "--project", project, "--store", server.store_url)
    assert key.returncode == 0, key.stderr
    script = AGENT.format(url=server.url, key=key.stdout.strip())
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    return Asked(server, project, key.stdout.strip(), ran.stdout.strip())


@pytest.fixture(scope="module")
def shop(start_server, tmp_path_factory, clew_command):
    """A server that has learned what the agent of project `shop` does."""
    server = start_server(tmp_path_factory.mktemp("graph") / "clew.db", CLEW_LEARN_AFTER_S="0.2")
    asked = run_agent(server, clew_command, "shop")
    eventually(lambda: asked.learned() == TRACES, "the agent's traces are learned")
    yield asked
    assert asked.server.stop() == 0


def test_what_the_agent_did_is_what_the_graph_says(shop):
    """Values that were handed on are edges of their own; what ran side by side is no sequence."""
    provides = {
        (edge["origin"]["name"], edge["target"]["name"]) for edge in shop.get("edges", ("type", "provides"))["edges"]
    }
    sequence = {
        (edge["origin"]["name"], edge["target"]["name"]) for edge in shop.get("edges", ("type", "sequence"))["edges"]
    }

    assert {
        ("get_user", "search_flights"),
        ("search_flights", "book_flight"),
        ("book_flight", "send_receipt"),
    } <= provides
    assert {("get_user", "search_hotels"), ("search_hotels", "book_flight")} <= sequence
    assert not {("search_flights", "search_hotels"), ("search_hotels", "search_flights")} & sequence


def test_each_question_is_answered_with_its_reasons(shop):
    answers = shop.every()

    assert names(answers["suggest"]["suggestions"])[0] in ("search_flights", "search_hotels")
    assert names(answers["search"]["found"])
    assert [node["name"] for node in answers["path"]["paths"][0]["nodes"]][-1] == "send_receipt"
    levels = [sorted(node["name"] for node in level) for level in answers["plan"]["levels"]]
    assert levels == [["get_user"], ["search_flights", "search_hotels"], ["book_flight"]]
    assert answers["variants"]["runs"] == 7
    (departure,) = [
        one for one in answers["conform"]["departures"] if (one["capability"] or {}).get("name") == "book_trip"
    ]
    assert departure["left_by"]["name"] == "send_receipt"
    assert answers["diff"]["after_traces"] + answers["diff"]["before_traces"] == TRACES
    for ranked in (
        answers["suggest"]["suggestions"],
        answers["path"]["paths"],
        answers["similar"]["similar"],
        answers["search"]["found"],
    ):
        assert all(one["reasons"] for one in ranked)


@pytest.fixture
def graph(capsys, monkeypatch):
    """Run `clew graph …` in this process, which starts sooner; give its exit status and what it printed."""
    for name in [name for name in os.environ if name.startswith("CLEW_")]:
        monkeypatch.delenv(name)

    def run(*words: str, columns: str = "200") -> tuple[int, str, str]:
        monkeypatch.setenv("COLUMNS", columns)
        with pytest.raises(SystemExit) as ended:
            app(["graph", *words])
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


@pytest.mark.parametrize("question", [*QUESTIONS, "conform"])
def test_the_command_line_gives_the_same_body_from_server_and_store(shop, graph, question):
    """The same question everywhere; a store is asked without a server."""
    params, words = QUESTIONS.get(question, ([("trace_id", shop.odd)], ["conform", shop.odd]))
    over_http = steady(shop.get(question, *params))
    ask = (*words, "--json", "--project", "shop")

    for source in (("--url", shop.server.url, "--key", KEY), ("--store", shop.server.store_url)):
        status, printed, said = graph(*ask, *source)
        assert (status, said) == (0, "")
        assert steady(json.loads(printed)) == over_http


@pytest.mark.parametrize("question", [*QUESTIONS, "conform"])
def test_the_command_line_says_it_to_people_on_eighty_columns(shop, graph, question):
    _, words = QUESTIONS.get(question, ([], ["conform", shop.odd]))

    status, printed, said = graph(*words, "--project", "shop", "--store", shop.server.store_url, columns="80")

    assert (status, said) == (0, "")
    assert printed.strip()
    assert [line for line in printed.splitlines() if len(line) > 80 and "clew traces show" not in line] == []


@pytest.mark.parametrize(
    ("form", "sign"), [("json", "{"), ("dot", "digraph"), ("mermaid", "flowchart"), ("graphml", "<graphml")]
)
def test_the_graph_is_exported_to_stdout_and_to_a_file(shop, graph, tmp_path, form, sign):
    ask = ("export", "--format", form, "--project", "shop", "--url", shop.server.url, "--key", KEY)
    _, printed, _ = graph(*ask)
    status, _, _ = graph(*ask, "-o", str(tmp_path / "graph"))

    assert status == 0
    assert sign in printed
    assert (tmp_path / "graph").read_text().strip() == printed.strip()


def test_a_restart_changes_no_answer(shop, start_server):
    """The graph is in the store, not in the process."""
    before = shop.every()
    assert shop.server.stop() == 0

    shop.server = start_server(shop.server.store, CLEW_LEARN_AFTER_S="0.2")

    assert shop.every() == before


def test_a_mistake_is_answered_with_what_to_do(shop, clew_command):
    """Exit status 2: asked again in the same way it can never work."""

    def ask(*words):
        return clew_command("graph", *words, "--project", "shop", "--url", shop.server.url, "--key", KEY)

    unknown, senseless, missing = ask("similar", "serch_flights"), ask("diff", "last summer"), ask("conform", "f" * 32)

    assert (unknown.returncode, senseless.returncode, missing.returncode) == (2, 2, 1)
    assert "search_flights" in unknown.stderr
    assert "2026-11-20" in senseless.stderr
    assert "not stored" in missing.stderr


def test_templates_and_arms_are_changed_from_the_command_line(shop, graph, tmp_path):
    (tmp_path / "trips.yaml").write_text("send_receipt: [get_user]\n")
    (tmp_path / "circle.yaml").write_text("a: [b]\nb: [a]\n")
    at = ("--project", "shop", "--url", shop.server.url, "--key", KEY)

    def path():
        return shop.get("path", ("from", "get_user"), ("to", "send_receipt"))["arm_version"]

    assert graph("template", "add", str(tmp_path / "trips.yaml"), *at) == (0, "declared trips\n", "")
    assert shop.get("edges", ("type", "dependency"))["edges"][0]["source"] == "template"
    assert graph("template", "rm", "trips", *at)[0] == 0
    assert graph("template", "rm", "trips", *at)[0] == 1
    assert graph("template", "add", str(tmp_path / "circle.yaml"), *at)[0] == 2
    assert "version 1" in graph("arms", "add", "path", "hops", *at)[1]
    assert graph("arms", "choose", "path", "1", *at)[0] == 0
    assert path() == 1
    assert graph("arms", "rollback", "path", *at)[0] == 0
    assert path() == 0
    assert graph("arms", "choose", "path", "9", *at)[0] == 2


def test_a_suggestion_is_scored_against_what_came(serve, clew_command, make):
    """The agent asks with its trace id; when the trace has ended, the arm is held against it."""
    server = serve(CLEW_LEARN_AFTER_S="0.2")
    asked = run_agent(server, clew_command, "scored")
    eventually(lambda: asked.learned() == TRACES, "the agent's traces are learned")
    root = make.span(start_ns=time.time_ns(), end_ns=time.time_ns() + 60_000_000_000)
    params = [("called", "get_user"), ("trace_id", root["trace_id"]), ("parent_span_id", root["span_id"])]
    given = asked.get("suggest", ("within", "book_trip"), *params)
    assert given["suggestion_id"]
    came = make.span(
        root["trace_id"], parent_id=root["span_id"], name="search_flights", kind="tool",
        start_ns=time.time_ns(), end_ns=time.time_ns() + 1_000_000,
    )  # fmt: skip
    sent = server.admin.post("/api/v1/spans?project=scored", json={"spans": [root, came]})
    assert sent.json()["accepted"] == 2

    eventually(lambda: any(arm["scored"] for arm in asked.get("ab")["arms"]), "the suggestion is scored")
    (arm,) = asked.get("ab")["arms"]
    assert (arm["scored"], arm["figures"]["hit@3"]["value"]) == (1, 1.0)


def test_a_span_that_comes_late_corrects_the_graph(serve, clew_command, make):
    """Nothing is counted twice, and no trace more is learned."""
    server = serve(CLEW_LEARN_AFTER_S="0.2")
    asked = run_agent(server, clew_command, "late")
    eventually(lambda: asked.learned() == TRACES, "the agent's traces are learned")
    stored = server.admin.get(f"/api/v1/admin/traces/{asked.odd}?project=late").json()
    trip = next(span for span in stored["spans"] if span["name"] == "book_trip")
    receipt = next(span for span in stored["spans"] if span["name"] == "send_receipt")
    before = int(receipt["start_ns"])
    late = make.span(
        asked.odd, parent_id=trip["span_id"], name="book_flight", kind="tool", start_ns=before - 2, end_ns=before - 1
    )
    counted = {node["name"]: node["count"] for node in asked.get("nodes")["nodes"]}

    server.admin.post("/api/v1/spans?project=late", json={"spans": [late]}).raise_for_status()

    def now():
        return {node["name"]: node["count"] for node in asked.get("nodes")["nodes"]}

    eventually(lambda: now() != counted, "the late span is learned")
    assert now() == counted | {"book_flight": counted["book_flight"] + 1}
    assert asked.learned() == TRACES
    fits = {
        one["left_by"]["name"] for one in asked.get("conform", ("trace_id", asked.odd))["departures"] if one["left_by"]
    }
    assert fits == {"book_flight"}


def test_projects_are_apart(shop, clew_command):
    """A graph says what a whole company does."""
    server = shop.server
    other = clew_command(
        "keys", "create", "--scope", "read", "--project", "other", "--store", server.store_url
    ).stdout.strip()
    headers = {"authorization": f"Bearer {other}"}

    assert server.anybody.get(f"{GRAPH}/nodes", headers=headers).json()["nodes"] == []
    for question, (params, _) in QUESTIONS.items():
        query = [("project", "shop"), *params]
        assert server.anybody.get(f"{GRAPH}/{question}", params=query, headers=headers).status_code == 403
    peek = server.anybody.get(f"{GRAPH}/diff", params={"before": "project:shop"}, headers=headers)
    assert peek.status_code == 403
    assert "get_user" not in peek.text


def test_a_server_that_is_told_not_to_learn_does_not(serve, clew_command):
    """CLEW_LEARN=0: what is stored can be learned later, by another process."""
    server = serve(CLEW_LEARN="0", CLEW_LEARN_AFTER_S="0.2")
    asked = run_agent(server, clew_command, "quiet")
    assert asked.learned() == 0
    assert server.stop() == 0

    asked.server = serve(CLEW_LEARN_AFTER_S="0.2", store=server.store)

    eventually(lambda: asked.learned() == TRACES, "another server learns what waited")
