"""Conditions, quantiles, steps and heat maps, asked of a real server."""

from urllib.parse import quote

import pytest

LATENCY = "/api/v1/admin/traces/metrics/latency"


@pytest.fixture
def asked(shared, project):
    """Ask the project; gives status and body."""

    def ask(path, query=""):
        answer = shared.admin.get(f"{path}?project={project}&{query}")
        return answer.status_code, answer.json()

    return ask


def test_traces_are_found_by_attributes_scores_and_tags(shared, project, make, asked):
    """In the query string as people write it, escaped or not."""
    gold = make.span(name="ask", attributes={"tier": "gold", "top_k": 7, "tags": ["beta"], "a<b": "Ω"})
    free = make.span(name="other", trace_id=f"{1:032x}", attributes={"tier": "free", "top_k": 3})
    score = {"trace_id": gold["trace_id"], "name": "fit", "value": 4, "label": "good"}
    shared.admin.post(f"/api/v1/spans?project={project}", json={"spans": [gold, free]})
    shared.admin.post(f"/api/v1/scores?project={project}", json=score)

    def found(query):
        status, body = asked("/api/v1/admin/traces/", query)
        assert (status, body["unfinished"]) == (200, False)
        return [trace["trace_id"] for trace in body["traces"]]

    for query in (
        "attr.tier=gold",
        "attr.top_k>=5",
        "attr.top_k%3E=5&attr.top_k%3C=9",
        "attr.tier!=free",
        f"attr.{quote(chr(34) + 'a<b' + chr(34))}={quote('Ω')}",
        "tag=beta&name=ask",
        "score.fit>=4&score.fit=good",
    ):
        assert found(query) == [gold["trace_id"]], query
    assert found("attr.tier=*&attr.top_k<=3") == [free["trace_id"]]
    assert found("attr.nowhere=*") == []


@pytest.mark.parametrize(
    "query",
    ["attr.k>5", "attr.k>=nan", "attr.=1", "attr.x=" + "y" * 6_000, "tag=%00", "min_tokens=x", "min_cost_usd=inf"],
)
def test_a_condition_that_makes_no_sense_is_400(asked, query):
    """With the parameter that is to be mended."""
    status, body = asked("/api/v1/admin/traces/", query)
    assert (status, body["error"]["type"]) == (400, "BadFilter")
    assert body["error"]["message"].startswith(query[:4].split("=")[0])


def test_latencies_over_time_add_up_to_those_of_the_window(shared, project, make, asked):
    """Steps and heat map count the same spans."""
    spans = [make.span(kind="tool", name="t", end_ns=make.start_ns + n * 1_000_000) for n in range(1, 101)]
    shared.admin.post(f"/api/v1/spans?project={project}", json={"spans": spans})
    window = "lookback_days=1&operation_type=TOOL&name=t"

    _, whole = asked(LATENCY, f"{window}&quantiles=0.9,1")
    _, steps = asked(f"{LATENCY}/steps", f"{window}&step=hour&quantiles=0.9")
    _, heat = asked(f"{LATENCY}/heat", f"{window}&step=hour&rows_per_doubling=5")

    [row] = whole["operations"]
    assert row["quantiles_ms"] == {"0.9": pytest.approx(90, rel=0.01), "1": pytest.approx(100, rel=0.01)}
    assert sum(one["count"] for step in steps["steps"] for one in step["operations"]) == 100
    assert sum(count for *_, count in heat["cells"]) == 100
    assert (steps["step_s"], heat["step_s"]) == (3600, 3600)
    assert len(steps["steps"]) == len(heat["steps"]) in (24, 25)
    assert all(row["over_ms"] < row["up_to_ms"] for row in heat["rows"])


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("", "quantiles=99"),
        ("", "quantiles=nan"),
        ("", "from=10&to=5"),
        ("", "step=hour"),
        ("/steps", "step=second"),
        ("/steps", "step=minute&lookback_days=3000"),
        ("/heat", "rows_per_doubling=2"),
        ("/heat", "group_by=kind"),
    ],
)
def test_a_question_to_the_histograms_that_makes_no_sense_is_400(asked, path, query):
    """Before anything is read."""
    status, body = asked(LATENCY + path, query)
    assert (status, body["error"]["type"]) == (400, "BadFilter")
