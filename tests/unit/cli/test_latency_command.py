"""`clew latency`, straight from a store."""

import json
import time

import pytest

from clew.cli.app import app
from clew.model import Batch
from clew.store import open_store
from clew.testing.store_contract import a_span

HOUR_NS = 3600 * 10**9


@pytest.fixture
def store_url(tmp_path):
    """A store with a tool that took 1 to 100 ms an hour ago, and a model's calls."""
    url = f"sqlite:///{tmp_path}/clew.db"
    at_ns = time.time_ns() - HOUR_NS
    spans = [a_span(n, kind="tool", name="search", start_ns=at_ns, end_ns=at_ns + n * 1_000_000) for n in range(1, 101)]
    spans.append(
        a_span(200, kind="generation", name="chat", model="big\x1b[2J", start_ns=at_ns, end_ns=at_ns, input_tokens=7)
    )
    store = open_store(url)
    store.write([Batch(spans=spans)])
    store.close()
    return url


def run(capsys, *args):
    """Run `clew latency`; its stdout and stderr."""
    try:
        app(["latency", *args])
    except SystemExit as end:
        assert end.code in (0, None), capsys.readouterr()  # noqa: PT017
    return capsys.readouterr()


def test_latencies_are_a_row_for_each_operation(store_url, capsys):
    """With the quantiles that were asked for, and nothing of a name that steers a terminal."""
    printed = run(capsys, "--store", store_url, "--by", "kind,name,model", "--quantiles", "0.9").out
    assert "tool search" in printed
    assert "p90" in printed.splitlines()[0].split()
    assert "\x1b[2J" not in printed
    assert " 7" in printed


def test_json_is_the_body_of_the_api(store_url, capsys):
    """So that a program reads the same from both."""
    body = json.loads(run(capsys, "--store", store_url, "--kind", "tool", "--quantiles", "0.25,1", "--json").out)
    [row] = body["operations"]
    assert row["count"] == 100
    assert row["quantiles_ms"] == {"0.25": pytest.approx(25, rel=0.01), "1": pytest.approx(100, rel=0.01)}


def test_steps_are_rows_with_their_time(store_url, capsys):
    """Those of nothing are left out for people."""
    body = json.loads(run(capsys, "--store", store_url, "--step", "hour", "--days", "1", "--json").out)
    assert body["step_s"] == 3600
    assert [len(step["operations"]) for step in body["steps"]].count(1) == 1
    assert "101" in run(capsys, "--store", store_url, "--step", "hour").out


def test_a_heat_map_is_drawn_with_the_longest_on_top(store_url, capsys):
    """As on the page."""
    lines = run(capsys, "--store", store_url, "--heat", "--kind", "tool", "--days", "1").out.splitlines()
    assert len(lines) == 9
    assert "█" in lines[0] or "█" in lines[1]
    assert "ms │" in lines[0]


def test_without_a_window_a_picture_is_of_the_time_that_has_spans(store_url, capsys):
    """A week of which one minute has spans would be one thin line, and minutes of a week too many steps."""
    heat = json.loads(run(capsys, "--store", store_url, "--heat", "--json").out)
    rows = run(capsys, "--store", store_url, "--step", "minute", "--kind", "tool").out.splitlines()
    week = json.loads(run(capsys, "--store", store_url, "--heat", "--days", "7", "--json").out)

    assert len(heat["steps"]) == 1
    assert heat["step_s"] == 60
    assert sum(count for *_, count in heat["cells"]) == 101
    assert len(rows) == 2
    assert len(week["steps"]) in (56, 57)


def test_a_window_of_nothing_is_said_to_be_empty(store_url, capsys):
    """On stderr, so that a pipe gets nothing."""
    for how in ("--heat", "--json", "--kind=agent"):
        printed = run(capsys, "--store", store_url, "--from", "0", "--to", "60", how)
        assert (printed.out == "") == ("nothing was measured" in printed.err)


@pytest.mark.parametrize("args", [("--heat", "--by", "kind"), ("--step", "second"), ("--quantiles", "99")])
def test_a_question_that_makes_no_sense_ends_with_2(store_url, capsys, args):
    """As with every command."""
    with pytest.raises(SystemExit) as end:
        app(["latency", "--store", store_url, *args])
    assert end.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_traces_are_listed_by_conditions(store_url, capsys):
    """What the shell's quoting leaves is a condition."""
    store = open_store(store_url)
    store.write([Batch(spans=[a_span(300, name="gold one", attributes={"tier": "gold", "top_k": 7}), a_span(301)])])
    store.close()
    for condition in ("tier=gold", "top_k>=5", "tier"):
        with pytest.raises(SystemExit) as end:
            app(["traces", "ls", "--store", store_url, "--attr", condition])
        assert not end.value.code
        assert capsys.readouterr().out.count("\n") == 2
    with pytest.raises(SystemExit):
        app(["traces", "ls", "--store", store_url, "--attr", "top_k>=8", "--tag", "x"])
    assert "no traces match" in capsys.readouterr().err
