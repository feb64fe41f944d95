"""The graph over HTTP, in one process: who may ask, what is refused, and what form the answers have."""

from __future__ import annotations

import threading

import httpx
import msgspec
import pytest

from clew.graph import Call, Graph, TraceCalls, learn
from clew.graph.packing import pack
from clew.jobs.learn import LearnJob
from clew.model import histogram
from clew.query.graph_asking import QUESTIONS
from clew.server.app import create_app
from clew.server.auth import hash_key
from clew.server.settings import ServerSettings
from clew.store.memory import MemoryStore
from clew.store.protocol import KeyRecord

KEY = "sesame-of-the-tests"
GRAPH = "/api/v1/admin/graph"
START_NS = 1_795_163_400_000_000_000
MS = 1_000_000
NEEDED = {
    "path": {"from": "search", "to": "book"},
    "plan": {"tool": ["search", "book"]},
    "similar": {"node": "search"},
    "search": {"text": "book a flight"},
    "conform": {"trace_id": f"{1:032x}"},
}
YAML = {"content-type": "application/yaml"}


def spans(number, *tools):
    """Give one trace: a root and the tools below it, one after the other."""
    trace_id = f"{number:032x}"
    root = {"trace_id": trace_id, "span_id": f"{number:08x}{1:08x}", "name": "ask", "kind": "root",
            "start_ns": START_NS, "end_ns": START_NS + 100 * MS}  # fmt: skip
    return [root] + [
        {"trace_id": trace_id, "span_id": f"{number:08x}{2 + at:08x}", "parent_id": root["span_id"], "name": name,
         "kind": "tool", "start_ns": START_NS + 10 * at * MS, "end_ns": START_NS + (10 * at + 5) * MS}
        for at, name in enumerate(tools)
    ]  # fmt: skip


@pytest.fixture
async def client():
    """Give a client of a server without a learner; `learn()` learns what came."""
    store = MemoryStore()
    app = create_app(store, ServerSettings(admin_key=KEY, learn=False))
    app.runtime.start()
    job = LearnJob(store, now_ns=lambda: 2**62, on_learned=app.runtime.learned)
    for scope, project in (("read", "shop"), ("ingest", "shop"), ("read", "default")):
        key = f"{scope}-{project}"
        store.add_key(KeyRecord(key_hash=hash_key(key), scope=scope, project=project, label="", created_ns=1))
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:4319", headers=headers) as http:
        http.app = app
        http.learn = job.learn_once
        yield http
    app.runtime.close()


@pytest.fixture
async def taught(client):
    """Five traces in `default`, one in `shop`."""
    for number in range(1, 6):
        await client.post("/api/v1/spans", json={"spans": spans(number, "search", "book", "pay")})
    await client.post("/api/v1/spans?project=shop", json={"spans": spans(9, "secret_tool")})
    assert client.learn() == 6
    return client


def key(name):
    return {"authorization": f"Bearer {name}"}


@pytest.mark.parametrize("question", QUESTIONS)
async def test_every_question_is_answered(taught, question):
    answer = await taught.get(f"{GRAPH}/{question}", params=NEEDED.get(question, {}))

    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("question", [each for each in QUESTIONS if each != "conform"])
async def test_every_question_is_answered_by_an_empty_graph(client, question):
    """A fresh server is asked first of all."""
    assert (await client.get(f"{GRAPH}/{question}", params=NEEDED.get(question, {}))).status_code == 200


async def test_a_repeated_parameter_is_a_list_in_order(taught):
    answer = await taught.get(f"{GRAPH}/suggest?called=search&called=book&within=ask&k=1")

    (one,) = answer.json()["suggestions"]
    assert one["node"] == {"kind": "tool", "name": "pay"}
    assert 0 < one["probability"] <= 1
    assert one["reasons"][0]["text"]


async def test_a_context_can_be_posted(taught):
    body = {
        "called": ["search", {"name": "book", "kind": "tool", "ok": True, "arguments": {"id": 1}}],
        "within": "ask",
        "k": 1,
    }

    posted = await taught.post(f"{GRAPH}/suggest", json=body)
    asked = await taught.get(f"{GRAPH}/suggest?called=search&called=book&within=ask&k=1")

    assert posted.json()["suggestions"][0]["node"] == asked.json()["suggestions"][0]["node"]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"{", "truncated"),
        (b"[]", "object"),
        (b'{"called": "search"}', "called"),
        (b'{"called": [{"kind": "tool"}]}', "name"),
        (b'{"caled": []}', "caled"),
        (b'{"k": 0}', "k"),
        (b'{"k": "five"}', "k"),
        (b'{"arm": "magic"}', "arm"),
        (b'{"trace_id": "x"}', "trace"),
        (b'{"log": true}', "log"),
    ],
)
async def test_a_body_that_makes_no_sense_is_400_and_says_where(taught, body, named):
    answer = await taught.post(f"{GRAPH}/suggest", content=body, headers={"content-type": "application/json"})

    assert answer.status_code == 400
    assert named.lower() in answer.json()["error"]["message"].lower()


async def test_an_unknown_tool_is_404_with_names_like_it(taught):
    """`near` is for programs; the message says it to people."""
    answer = await taught.get(f"{GRAPH}/similar?node=serch")

    assert answer.status_code == 404
    error = answer.json()["error"]
    assert (error["type"], error["asked"], error["near"]) == ("UnknownNode", "serch", ["search"])
    assert "search" in error["message"]


@pytest.mark.parametrize(
    ("path", "field"),
    [("suggest?nonsense=1", "nonsense"), ("path?from=a", "to"), ("edges?type=x", "type"), ("diff?before=x", "before")],
)
async def test_a_parameter_that_makes_no_sense_is_400_and_named(taught, path, field):
    answer = await taught.get(f"{GRAPH}/{path}")

    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(f"{field}: ")


async def test_a_trace_that_is_not_stored_is_404(taught):
    answer = await taught.get(f"{GRAPH}/conform", params={"trace_id": "f" * 32})

    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "NotFound")


# Who may ask.


@pytest.mark.parametrize("question", QUESTIONS)
async def test_a_key_reads_its_own_project_alone(taught, question):
    """A graph says what a whole company does."""
    params = NEEDED.get(question, {}) | {"project": "shop"}

    assert (await taught.get(f"{GRAPH}/{question}", params=params, headers=key("read-default"))).status_code == 403
    assert (await taught.get(f"{GRAPH}/{question}", params=params, headers=key("ingest-shop"))).status_code == 403
    assert (await taught.get(f"{GRAPH}/{question}", params=params, headers={"authorization": ""})).status_code == 401


async def test_a_key_is_asked_of_its_project_without_naming_it(taught):
    names = (await taught.get(f"{GRAPH}/nodes?kind=tool", headers=key("read-shop"))).json()

    assert [each["name"] for each in names["nodes"]] == ["secret_tool"]
    assert "secret" not in (await taught.get(f"{GRAPH}/nodes")).text


async def test_a_diff_reads_another_project_only_with_its_key(taught):
    """Each side can name one."""
    for side in ("before", "after"):
        params = {"before": "now", side: "project:shop"}
        assert (await taught.get(f"{GRAPH}/diff", params=params, headers=key("read-default"))).status_code == 403
        assert (await taught.get(f"{GRAPH}/diff", params=params)).status_code == 200


async def test_only_an_admin_changes_templates_and_arms(taught):
    """Reading keys are given to agents."""
    for scope in ("read-default", "ingest-shop"):
        sent = [
            await taught.post(f"{GRAPH}/templates", content=b"a: [b]", headers=YAML | key(scope)),
            await taught.delete(f"{GRAPH}/templates?name=x", headers=key(scope)),
            await taught.post(f"{GRAPH}/arms", json={"question": "path", "arm": "hops"}, headers=key(scope)),
            await taught.post(f"{GRAPH}/arms/choose", json={"question": "path", "version": 0}, headers=key(scope)),
        ]
        assert [each.status_code for each in sent] == [403] * 4


# Templates.


async def test_a_template_in_yaml_or_json_declares_edges_until_it_is_removed(taught):
    yaml = await taught.post(f"{GRAPH}/templates", content=b"name: trips\ntools:\n  pay: [search]\n", headers=YAML)
    json = await taught.post(f"{GRAPH}/templates?name=short", json={"book": ["search"]})

    assert (yaml.status_code, yaml.json(), json.json()) == (201, {"name": "trips"}, {"name": "short"})
    listed = (await taught.get(f"{GRAPH}/templates")).json()["templates"]
    assert [each["name"] for each in listed] == ["short", "trips"]
    edges = (await taught.get(f"{GRAPH}/edges?type=dependency")).json()
    assert {each["source"] for each in edges["edges"]} == {"template"}
    for name in ("trips", "short"):
        assert (await taught.delete(f"{GRAPH}/templates", params={"name": name})).status_code == 200
    assert (await taught.get(f"{GRAPH}/edges?type=dependency")).json()["total"] == 0
    assert (await taught.delete(f"{GRAPH}/templates?name=trips")).status_code == 404
    assert (await taught.delete(f"{GRAPH}/templates")).status_code == 400


@pytest.mark.parametrize(
    ("content", "media", "status"),
    [
        (b"a: [b]\nb: [a]\n", "application/yaml", 400),
        (b"\xff", "application/yaml", 400),
        (b"a: [b]", "text/plain", 415),
        (b'{"a": ["b"]', "application/json", 400),
        (b'["a"]', "application/json", 400),
        (b"x" * (5 << 20), "application/yaml", 413),
    ],
)
async def test_a_template_that_makes_no_sense_is_refused_and_not_kept(taught, content, media, status):
    answer = await taught.post(f"{GRAPH}/templates", content=content, headers={"content-type": media})

    assert answer.status_code == status, answer.text
    assert (await taught.get(f"{GRAPH}/templates")).json()["templates"] == []


# Arms.


async def test_an_arm_is_stored_chosen_and_rolled_back(taught):
    stored = await taught.post(f"{GRAPH}/arms", json={"question": "path", "arm": "hops", "note": "plain"})
    chosen = await taught.post(f"{GRAPH}/arms/choose", json={"question": "path", "version": 1})

    assert (stored.status_code, stored.json()) == (201, {"question": "path", "version": 1})
    assert [(each["version"], each["share"]) for each in chosen.json()["arms"]] == [(1, 1.0)]
    answer = (await taught.get(f"{GRAPH}/path?from=search&to=pay")).json()
    assert (answer["arm"], answer["arm_version"]) == ("hops", 1)
    await taught.post(f"{GRAPH}/arms/choose", json={"question": "path", "roll_back": True})
    assert (await taught.get(f"{GRAPH}/path?from=search&to=pay")).json()["arm_version"] == 0
    shared = await taught.post(f"{GRAPH}/arms/choose", json={"question": "path", "shares": {"1": 0.5}})
    assert shared.json()["arms"][0]["share"] == 0.5


@pytest.mark.parametrize(
    "body",
    [
        {"question": "path"},
        {"question": "path", "version": 1, "roll_back": True},
        {"question": "path", "version": 7},
        {"question": "path", "shares": {"one": 0.5}},
        {"question": "path", "shares": {"1": 2}},
        {"question": "diff", "version": 0},
    ],
)
async def test_a_choice_that_makes_no_sense_is_refused(taught, body):
    await taught.post(f"{GRAPH}/arms", json={"question": "path", "arm": "hops"})

    answer = await taught.post(f"{GRAPH}/arms/choose", json=body)

    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "BadFilter")


# Export and deltas.


@pytest.mark.parametrize(
    ("form", "media", "ending"),
    [
        ("json", "application/json", "json"),
        ("dot", "text/vnd.graphviz; charset=utf-8", "dot"),
        ("mermaid", "text/vnd.mermaid; charset=utf-8", "mmd"),
        ("graphml", "application/graphml+xml; charset=utf-8", "graphml"),
    ],
)
async def test_an_export_is_a_file_of_its_own_type(taught, form, media, ending):
    """A browser saves it and never runs it."""
    answer = await taught.get(f"{GRAPH}/export", params={"format": form, "project": 'x"\r\n/../y'.replace("\r\n", "")})

    assert answer.status_code == 200
    assert answer.headers["content-type"] == media
    assert answer.headers["content-disposition"] == f'attachment; filename="clew-graph-x-y.{ending}"'
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_an_export_in_another_format_is_refused(taught):
    assert (await taught.get(f"{GRAPH}/export?format=pdf")).status_code == 400


def delta(name="unsampled"):
    return learn(TraceCalls(trace_id="t", calls=[Call(call_id="a", kind="tool", name=name, start_ns=1, end_ns=2)]))


async def send(client, body, **headers):
    content = body if isinstance(body, bytes) else msgspec.msgpack.encode(body)
    return await client.post(
        "/api/v1/graph/deltas", content=content, headers={"content-type": "application/msgpack"} | headers
    )


async def test_a_delta_is_added_once_to_the_project_of_its_key(taught):
    """An SDK that stores a tenth of its traffic learns from all of it."""
    body = {"delta_id": "d-1", "graph": pack(delta()), "slices": {"day:2026-11-21": pack(delta())}}

    first = await send(taught, body, **key("ingest-shop"))
    again = await send(taught, body, **key("ingest-shop"))

    assert (first.json(), again.json()) == ({"applied": True}, {"applied": False})
    nodes = (await taught.get(f"{GRAPH}/nodes?project=shop&kind=tool")).json()["nodes"]
    assert {each["name"]: each["count"] for each in nodes} == {"secret_tool": 1, "unsampled": 1}
    diff = (await taught.get(f"{GRAPH}/diff?project=shop&before=2026-11-21&after=now")).json()
    assert diff["before_traces"] == 1
    assert "unsampled" not in (await taught.get(f"{GRAPH}/nodes")).text


@pytest.mark.parametrize(
    "body", [b"", b"\xc1", {"delta_id": "d"}, {"delta_id": "d", "graph": b"\x00"}, {"delta_id": 7, "graph": b""}]
)
async def test_a_delta_that_cannot_be_read_is_400_and_changes_nothing(taught, body):
    before = (await taught.get(f"{GRAPH}/summary")).json()

    assert (await send(taught, body)).status_code == 400

    assert (await taught.get(f"{GRAPH}/summary")).json() == before


def metrics(count=3, **fields):
    """Calls of one operation in one minute, some seconds each."""
    took_ns = [(at + 1) * 1_000 * MS for at in range(count)]
    row = {"minute": START_NS // (60 * 10**9), "kind": "tool", "name": "unsampled", "model": "", "count": count,
           "errors": 1, "input_tokens": 0, "output_tokens": 0, "cost_usd": 0.0, "duration_ns": sum(took_ns),
           "buckets": histogram.encode(histogram.of(took_ns))}  # fmt: skip
    return list((row | fields).values())


async def latency(client, project):
    path = f"/api/v1/admin/traces/metrics/latency?lookback_days=3000&group_by=name&project={project}"
    rows = (await client.get(path)).json()["operations"]
    return {row["name"]: (row["count"], row["errors"], round(row["p99_ms"], -2)) for row in rows}


async def test_a_deltas_metrics_count_once_in_the_latencies_of_its_keys_project(taught, monkeypatch):
    """Percentiles are those of all traffic at any rate of storage."""
    monkeypatch.setattr("clew.server.reads.time.time_ns", lambda: START_NS + 60 * 10**9)
    body = {"delta_id": "d-1", "graph": pack(delta()), "metrics": [metrics()]}

    for _ in range(2):
        assert (await send(taught, body, **key("ingest-shop"))).status_code == 200

    shop = await latency(taught, "shop")
    assert shop["unsampled"] == (3, 1, pytest.approx(3_000, rel=0.01))
    assert shop["ask"][0] == 1
    assert "unsampled" not in await latency(taught, "default")


async def test_what_a_delta_takes_back_counts_no_longer(taught, monkeypatch):
    """A user complained of one of its traces, which was then sent."""
    monkeypatch.setattr("clew.server.reads.time.time_ns", lambda: START_NS + 60 * 10**9)
    less = {"graph": pack(delta()), "metrics": [metrics(1)]}
    await send(taught, {"delta_id": "d-1", "graph": pack(delta()), "metrics": [metrics()]}, **key("ingest-shop"))

    answer = await send(taught, {"delta_id": "d-2", "graph": pack(Graph()), "less": less}, **key("ingest-shop"))

    assert answer.json() == {"applied": True}
    assert (await latency(taught, "shop"))["unsampled"][:2] == (2, 0)
    nodes = (await taught.get(f"{GRAPH}/nodes?project=shop&kind=tool")).json()["nodes"]
    assert "unsampled" not in {each["name"] for each in nodes if each["count"]}


@pytest.mark.parametrize(
    "bad",
    [[metrics(name="")], [metrics(errors=9)], [metrics(), metrics()], [metrics(kind="x")], [metrics(buckets=b"")]],
)
async def test_metrics_that_make_no_sense_are_400_and_change_nothing(taught, bad):
    """Neither the graph nor the latencies: it is one transaction."""
    before = (await taught.get(f"{GRAPH}/summary?project=shop")).json()
    body = {"delta_id": "d-1", "graph": pack(delta()), "metrics": bad}

    answer = await send(taught, body, **key("ingest-shop"))

    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "MalformedBody")
    assert "metrics" in answer.json()["error"]["message"]
    assert (await taught.get(f"{GRAPH}/summary?project=shop")).json() == before
    good = {"delta_id": "d-1", "graph": pack(delta()), "metrics": [metrics()]}
    assert (await send(taught, good, **key("ingest-shop"))).json() == {"applied": True}


async def test_a_delta_needs_a_key_that_writes_and_its_own_media_type(taught):
    body = {"delta_id": "d", "graph": pack(delta())}

    assert (await send(taught, body, **key("read-shop"))).status_code == 403
    assert (await send(taught, body, **{"content-type": "application/json"})).status_code == 415


# Around it.


async def test_the_schema_describes_every_question_and_parameter(client):
    schema = (await client.get("/api/v1/openapi.json")).json()

    for question, asked in QUESTIONS.items():
        described = schema["paths"][f"{GRAPH}/{question}"]["get"]
        assert {each["name"] for each in described["parameters"]} == set(asked.params)
        assert described["description"] == asked.says
    suggest = schema["paths"][f"{GRAPH}/suggest"]["get"]["parameters"]
    assert {each["name"]: each["schema"]["type"] for each in suggest if each["name"] in ("called", "k")} == {
        "called": "array",
        "k": "string",
    }


async def test_the_metrics_count_what_was_learned_and_what_is_kept(taught):
    await taught.get(f"{GRAPH}/nodes")
    text = (await taught.get("/metrics")).text

    assert "clew_learned_traces_total 6\n" in text
    assert "clew_graph_nodes 4\n" in text


async def test_a_server_that_shuts_down_answers_no_question(taught):
    taught.app.runtime.close()

    assert (await taught.get(f"{GRAPH}/summary")).status_code == 503


@pytest.mark.parametrize("learn", [True, False])
async def test_a_server_learns_unless_told_otherwise_and_stops_with_it(learn):
    """CLEW_LEARN=0: another process does."""
    app = create_app(MemoryStore(), ServerSettings(admin_key=KEY, learn=learn))
    others = learners()
    app.runtime.start()
    assert len(learners() - others) == int(learn)
    app.runtime.close()
    assert learners() <= others


def learners():
    return {thread for thread in threading.enumerate() if thread.name == "clew-learn"}
