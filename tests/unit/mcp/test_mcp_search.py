"""What an agent may search traces by, and how it is told that a page ended early."""

import json

import pytest
from mcp.shared.memory import create_connected_server_and_client_session

from clew.cli.source import StoreSource
from clew.mcp import build
from clew.model import Batch, Score
from clew.query.filters import TRACE_PARAMS
from clew.store import open_store
from clew.testing.store_contract import START_NS, a_span, a_trace_id, put


class Recorder:
    """Answers like a store that looked through as many traces as it may."""

    def __init__(self):
        self.asked = []

    def traces(self, params):
        self.asked.append(list(params))
        return {"traces": [], "next_cursor": "1-f", "unfinished": True}


@pytest.fixture
def store():
    opened = open_store("memory:")
    gold = {"tier": "gold", "top_k": 7, "tags": ["beta"], "input_tokens": 900, "cost_usd": 0.2}
    put(opened, a_span(1, kind="generation", name="ask", model="big", attributes=gold, input_tokens=900, cost_usd=0.2))
    put(opened, a_span(2, name="other", attributes={"tier": "free"}))
    score = Score(trace_id=a_trace_id(1), name="rating", value=1.0, best=5.0, at_ns=START_NS)
    opened.write([Batch(scores=[score])])
    yield opened
    opened.close()


async def search(asker, **arguments):
    """Call the tool as a client does; gives its answer."""
    async with create_connected_server_and_client_session(build(lambda _: asker)) as client:
        result = await client.call_tool("search_traces", arguments)
    assert not result.isError, result.content
    return json.loads(result.content[0].text)


@pytest.mark.parametrize(
    "by",
    [
        {"attributes": ["tier=gold", "top_k>=5"]},
        {"attributes": ["top_k"]},
        {"tags": ["beta"], "name": "ask"},
        {"scores": ["rating<=2"]},
        {"min_tokens": 900, "max_tokens": 900},
        {"min_cost_usd": 0.1, "max_cost_usd": 1},
        {"kind": "generation", "model": "big", "since": "0", "until": "4000000000"},
    ],
    ids=str,
)
async def test_an_agent_finds_traces_by_what_they_carry(store, by):
    """By all that the API can be asked."""
    answer = await search(StoreSource(store), **by)
    assert [row["trace_id"] for row in answer["untrusted_trace_content"]] == [a_trace_id(1)]
    assert answer["about"]["unfinished"] is False


async def test_a_page_that_ended_early_is_told_with_what_to_do():
    """Or an agent would report that there are no such traces."""
    about = (await search(Recorder(), attributes=["tier=gold"]))["about"]
    assert (about["count"], about["next_cursor"], about["unfinished"]) == (0, "1-f", True)
    assert "cursor" in about["what_to_do"]


async def test_no_filter_of_the_api_is_missing_to_agents():
    """One that is added there is to be added here."""
    recorder = Recorder()
    texts = dict.fromkeys(("text", "since", "until", "user_id", "session_id", "kind", "model", "name", "cursor"), "7")
    least = ("latency_ms", "tokens", "cost_usd")
    counts = {f"{bound}_{of}": 7 for bound in ("min", "max") for of in least}
    listed = {"tags": ["a", "b"], "attributes": ["k>=5"], "scores": ["s"]}
    await search(recorder, **texts, **counts, **listed, quality_flag="EMPTY", status="ok", limit=7)
    asked = dict(recorder.asked[0])
    assert {"attr.k>": "5", "score.s": "*", "tag": "b"}.items() <= asked.items()
    assert set(TRACE_PARAMS) - set(asked) == {"attr.KEY", "score.NAME", "project"}


async def test_a_condition_that_cannot_be_read_is_told_and_not_ignored():
    """As data, since it may repeat what a trace says."""
    recorder = Recorder()
    answer = await search(recorder, attributes=["=gold"])
    assert answer["about"]["error"] == "BadFilter"
    assert "=gold" in answer["untrusted_trace_content"]["message"]
    assert recorder.asked == []
