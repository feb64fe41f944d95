"""The way out: pages of traces, filters, one trace, latencies."""

from __future__ import annotations

import pytest

DAY_NS = 86_400_000_000_000


def ask(shared, project, **params):
    """Give the trace ids of one page."""
    answer = shared.admin.get("/api/v1/admin/traces/", params={"project": project} | params)
    assert answer.status_code == 200, answer.text
    return [row["trace_id"] for row in answer.json()["traces"]]


@pytest.fixture(scope="module")
def shop(shared, make):
    """Six traces that differ in all that can be filtered; newest last."""
    variants = [
        {"attributes": {"user_id": "u-1"}, "outputs": "x" * 80},
        {"attributes": {"session_id": "s-1"}, "outputs": "short"},
        {"kind": "retrieval", "end_ns": make.start_ns + 900_000_000},
        {"attributes": {"model": "gpt-5-mini"}, "kind": "generation", "status": "error", "status_message": "boom"},
        {"attributes": {"confidence": 0.2}, "inputs": {"question": "where is the Labyrinth?"}},
        {"end_ns": None, "start_ns": make.start_ns + 50_000_000_000},
    ]
    spans = [{**make.span(start_ns=make.start_ns + number), **fields} for number, fields in enumerate(variants)]
    assert shared.admin.post("/api/v1/spans?project=shop", json={"spans": spans}).json()["accepted"] == 6
    return spans


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({}, [5, 4, 3, 2, 1, 0]),
        ({"user_id": "u-1"}, [0]),
        ({"session_id": "s-1"}, [1]),
        ({"kind": "RETRIEVAL"}, [2]),
        ({"min_latency_ms": "800"}, [2]),
        ({"max_latency_ms": "800"}, [4, 3, 1, 0]),
        ({"status": "error"}, [3]),
        ({"model": "gpt-5-mini"}, [3]),
        ({"model": "gpt-5"}, []),
        ({"quality_flag": "EMPTY"}, [1]),
        ({"quality_flag": "LOW_CONFIDENCE"}, [4]),
        ({"text": "labyrinth where"}, [4]),
        ({"text": "boom"}, [3]),
        ({"text": "minotaur"}, []),
        ({"user_id": "u-1", "kind": "retrieval"}, []),
        ({"limit": "2"}, [5, 4]),
    ],
)
def test_a_filter_finds_exactly_what_it_says(shared, shop, params, found):
    """All of them hold together, newest first."""
    assert ask(shared, "shop", **params) == [shop[number]["trace_id"] for number in found]


def test_a_window_holds_its_start_and_not_its_end(shared, shop):
    """Two windows side by side show each trace once."""
    border = f"{shop[3]['start_ns'] / 1:.0f}"
    seconds = f"{border[:-9]}.{border[-9:]}"

    assert ask(shared, "shop", **{"from": seconds, "limit": "1", "to": "4000000000"}) == [shop[5]["trace_id"]]
    before = ask(shared, "shop", to=seconds)
    after = ask(shared, "shop", **{"from": seconds})
    assert before + after == [] or sorted(before + after) == sorted(span["trace_id"] for span in shop)


def test_pages_neither_repeat_nor_skip_while_more_comes_in(shared, project, make):
    """The cursor is a place in the order, not a count; equal starts are parted by id."""
    spans = [make.span(start_ns=make.start_ns + number // 3) for number in range(25)]
    shared.admin.post(f"/api/v1/spans?project={project}", json={"spans": spans})
    seen, cursor = [], ""
    while cursor is not None:
        params = {"project": project, "limit": 4, "cursor": cursor}
        page = shared.admin.get("/api/v1/admin/traces/", params=params).json()
        seen += [row["trace_id"] for row in page["traces"]]
        cursor = page["next_cursor"]
        newer = make.span(start_ns=make.start_ns + 1_000_000)
        shared.admin.post(f"/api/v1/spans?project={project}", json={"spans": [newer]})

    assert len(seen) == 25
    assert set(seen) == {span["trace_id"] for span in spans}


def test_the_path_works_with_and_without_its_last_slash(shared, shop):
    """A redirect would drop the key in many clients."""
    assert shared.admin.get("/api/v1/admin/traces?project=shop").status_code == 200


def test_percentiles_are_right_within_one_percent(shared, project, make):
    """From histograms, over all traffic; the window ends now."""
    spans = [
        make.span(
            kind="retrieval",
            name="r",
            end_ns=make.start_ns + number * 1_000_000,
            status="error" if number > 95 else "ok",
        )
        for number in range(1, 101)
    ]
    shared.admin.post(f"/api/v1/spans?project={project}", json={"spans": spans})

    answer = shared.admin.get(
        "/api/v1/admin/traces/metrics/latency",
        params={"project": project, "operation_type": "RETRIEVAL", "lookback_days": 1},
    ).json()

    (one,) = answer["operations"]
    assert one["operation_type"] == "RETRIEVAL"
    assert (one["count"], one["errors"]) == (100, 5)
    assert one["p50_ms"] == pytest.approx(50, rel=0.03)
    assert one["p95_ms"] == pytest.approx(95, rel=0.02)
    assert one["p99_ms"] == pytest.approx(99, rel=0.02)
    assert one["mean_ms"] == pytest.approx(50.5, rel=0.01)
    assert answer["from"] < answer["to"]


def test_latencies_can_be_parted_by_name_and_model(shared, project, make):
    """Which of the retrievers is slow is the next question."""
    spans = [make.span(kind="generation", name=name, attributes={"model": "m"}) for name in ("a", "a", "b")]
    shared.admin.post(f"/api/v1/spans?project={project}", json={"spans": spans})

    rows = shared.admin.get(
        "/api/v1/admin/traces/metrics/latency", params={"project": project, "group_by": "kind,name,model"}
    ).json()["operations"]

    assert {(row["name"], row["model"], row["count"]) for row in rows} == {("a", "m", 2), ("b", "m", 1)}


def test_latencies_before_the_window_do_not_count(shared, project, make):
    """`lookback_days` means what it says."""
    old = make.span(start_ns=make.start_ns - 3 * DAY_NS, end_ns=make.start_ns - 3 * DAY_NS + 1)
    shared.admin.post(f"/api/v1/spans?project={project}", json={"spans": [old]})

    def count(days):
        params = {"project": project, "lookback_days": days}
        rows = shared.admin.get("/api/v1/admin/traces/metrics/latency", params=params).json()["operations"]
        return sum(row["count"] for row in rows)

    assert (count(2), count(4)) == (0, 1)


def test_the_api_describes_itself(shared):
    """Clients can be generated from the schema; it names every filter."""
    schema = shared.admin.get("/api/v1/openapi.json").json()

    params = schema["paths"]["/api/v1/admin/traces/"]["get"]["parameters"]
    assert {"user_id", "quality_flag", "cursor"} <= {param["name"] for param in params}


def test_stats_and_projects_are_told_to_the_admin(shared, shop):
    """What `clew doctor` prints and the page's project list."""
    assert "shop" in shared.admin.get("/api/v1/admin/projects").json()["projects"]
    stats = shared.admin.get("/api/v1/admin/stats").json()
    assert stats["store"]["spans"] >= 6
