"""`clew graph evaluate` and `clew graph tune`, as they are typed."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from clew.cli import graph_evaluate
from clew.cli.graph_evaluate import evaluate, tune
from clew.cli.graph_recorded import NoTraces
from clew.errors import BadFilter, ConfigError, MalformedBody
from clew.graph.statistics import Interval
from clew.graph.tune import Tuned
from clew.graph.tune import tune as fit
from clew.model import Batch, Score, Span
from clew.store import open_store

commands = typer.Typer()
commands.command("evaluate")(evaluate)
commands.command("tune")(tune)

ROADS = ("lpq", "lxpq", "lypq")


def event(run: int, at: int, names: str) -> dict:
    return {
        "trace": f"run {run}", "id": at, "parent": None, "type": "tool", "name": names[at], "start": 2 * at,
        "end": 2 * at + 1, "args": [], "dep": [at - 1] if at else [], "text": f"buy item {run}",
    }  # fmt: skip


@pytest.fixture
def data(tmp_path) -> Path:
    """Thirty runs by three roads."""
    path = tmp_path / "habits.jsonl"
    lines = [json.dumps(event(run, at, ROADS[run % 3])) for run in range(30) for at in range(len(ROADS[run % 3]))]
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def clew_graph():
    """Run a command; what it refuses is raised, as `clew` itself would catch it."""

    def run(*args: object, status: int = 0):
        result = CliRunner().invoke(commands, [str(arg) for arg in args])
        if isinstance(result.exception, Exception):
            raise result.exception
        assert result.exit_code == status, result.output
        return result

    return run


def test_evaluate_prints_each_question_and_the_gates(clew_graph, data):
    """What is read first: which arm is how right, and what must hold."""
    printed = clew_graph("evaluate", data, "--folds", 2).stdout

    assert "30 traces of 30 tasks, 110 calls of 5 tools" in printed
    for title in ("next tool", "path, first and last tool given", "plan, the tools given", "search, the request given"):
        assert title in printed
    for arm in ("popularity", "follows", "learned", "hops", "fixed", "likely", "majority", "text", "hybrid"):
        assert f"\n{arm} " in printed
    assert "no plan goes in a circle" in printed
    assert "said beside what came" in printed


def test_evaluate_writes_all_figures_as_json(clew_graph, data, tmp_path):
    """For a machine that watches them."""
    target = tmp_path / "figures.json"

    clew_graph("evaluate", data, "--questions", "next", "--arms", "popularity", "--folds", 2, "--json", target)

    (figures,) = json.loads(target.read_bytes())
    (question,) = figures["questions"]
    assert figures["data"] == "habits"
    assert [arm["arm"] for arm in question["arms"]] == ["popularity", "follows"]
    interval = question["arms"][0]["figures"]["hit@1"]
    assert interval["low"] <= interval["value"] <= interval["high"]


def test_evaluate_takes_a_folder_and_sums_its_files_up(clew_graph, data):
    """A folder of recorded traces is one argument."""
    data.with_name("others.jsonl").write_bytes(data.read_bytes())

    printed = clew_graph("evaluate", data.parent, "--questions", "next", "--folds", 2).stdout

    assert "next tool: hit@1 / MRR" in printed
    assert "habits (80)" in printed
    assert "others (80)" in printed
    assert "gates met" in printed


def test_single_traces_are_held_out_where_each_task_has_tools_of_its_own(clew_graph, tmp_path):
    """A workflow that is run again and again: by task, nothing of the held-out one would be known."""
    data = tmp_path / "workflows.jsonl"
    events = [
        {**event(run, at, ROADS[0]), "name": f"{run % 5}{ROADS[0][at]}", "task": f"workflow {run % 5}"}
        for run in range(30)
        for at in range(3)
    ]
    data.write_text("\n".join(map(json.dumps, events)))
    common = ("evaluate", data, "--questions", "next", "--arms", "follows")

    assert "\nfollows  0.000 " in clew_graph(*common).stdout
    assert "\nfollows  1.000 " in clew_graph(*common, "--by-trace").stdout


def test_strict_fails_where_a_gate_is_missed(clew_graph, data, monkeypatch):
    """For CI. The same run passes without it."""
    measure = graph_evaluate.measure

    def missed(*args, **kwargs):
        figures = measure(*args, **kwargs)
        return msgspec.structs.replace(
            figures, gates=tuple(msgspec.structs.replace(gate, met=False) for gate in figures.gates)
        )

    monkeypatch.setattr(graph_evaluate, "measure", missed)

    assert "MISSED" in clew_graph("evaluate", data, "--questions", "next", "--folds", 2).stdout
    clew_graph("evaluate", data, "--questions", "next", "--folds", 2, "--strict", status=1)


@pytest.mark.parametrize(
    ("option", "value", "known"),
    [("--questions", "nxt", "next"), ("--arms", "lerned", "learned"), ("--replay", "fast", "parallel")],
)
def test_a_name_that_is_not_known_is_answered_with_those_that_are(clew_graph, data, option, value, known):
    """Otherwise one would wait for a run of nothing."""
    with pytest.raises(BadFilter, match=rf"'{value}' is none of .*{known}"):
        clew_graph("evaluate", data, option, value)


def test_data_that_is_not_there_is_named(clew_graph, tmp_path):
    """A typo in a path."""
    with pytest.raises(ConfigError, match=r"nowhere\.jsonl cannot be read: No such file"):
        clew_graph("evaluate", tmp_path / "nowhere.jsonl")
    with pytest.raises(NoTraces, match="no file of event lines"):
        clew_graph("evaluate", tmp_path)


def test_data_that_is_broken_or_empty_is_named(clew_graph, tmp_path):
    """Which file, which line."""
    broken, empty = tmp_path / "broken.jsonl", tmp_path / "empty.jsonl"
    broken.write_text("{}")
    empty.write_text("\n")

    with pytest.raises(MalformedBody, match=r"broken\.jsonl: line 1 is not an event"):
        clew_graph("evaluate", broken)
    with pytest.raises(NoTraces, match=r"empty\.jsonl holds no events"):
        clew_graph("evaluate", empty)


@pytest.fixture
def stored(tmp_path) -> str:
    """Thirty traces of project p in a store, with a user's score each."""
    url = f"sqlite:///{tmp_path}/clew.db"
    with closing(open_store(url)) as store:
        for run in range(30):
            trace_id = f"{run + 1:032x}"
            names = ROADS[run % 3]
            root = Span(
                trace_id=trace_id, span_id=f"{1:016x}", name="buy", kind="agent", start_ns=10**18, end_ns=10**18 + 99,
                input_preview=f"please buy item {run}", inputs=f"please buy item {run}", session_id=f"session {run}",
            )  # fmt: skip
            steps = [
                Span(
                    trace_id=trace_id,
                    span_id=f"{at + 2:016x}",
                    parent_id=root.span_id,
                    name=name,
                    kind="tool",
                    start_ns=10**18 + 2 * at,
                    end_ns=10**18 + 2 * at + 1,
                )
                for at, name in enumerate(names)
            ]
            score = Score(trace_id=trace_id, name="rating", value=run % 2, best=1)
            store.write([Batch(project="p", spans=[root, *steps], scores=[score])])
    return url


def test_a_project_is_evaluated_on_its_own_traces(clew_graph, stored):
    """What holds on others' data may not hold on one's own."""
    printed = clew_graph("evaluate", stored, "--project", "p", "--folds", 2).stdout

    assert "30 traces of 30 tasks, 140 calls of 6 tools" in printed
    assert "asked 110 times" in printed
    assert "search, the request given   asked 30 times" in printed


def test_a_project_without_traces_is_named(clew_graph, stored):
    """The default project is not the one that was meant."""
    with pytest.raises(NoTraces, match="project 'default' has no traces"):
        clew_graph("evaluate", stored)


def judged(gain: Interval):
    """Tune as it is done, but with a gain that is given."""

    def tuned(*args, **kwargs) -> Tuned:
        return msgspec.structs.replace(fit(*args, **kwargs), gain=gain)

    return tuned


BETTER, CHANCE = Interval(0.02, 0.01, 0.03), Interval(0.02, -0.01, 0.05)


def test_tune_prints_the_weights_and_what_they_are_worth(clew_graph, data, monkeypatch):
    """Beside the arm's own, on tasks that it was not fitted on."""
    monkeypatch.setattr(graph_evaluate, "fit", judged(CHANCE))

    printed = clew_graph("tune", data, "--question", "search", "--evaluations", 2).stdout

    assert "arm hybrid" in printed
    assert "contained" in printed
    assert "2 sets of weights tried" in printed
    assert "+0.020 [-0.010 +0.050]  not better than chance would explain" in printed


def test_better_weights_are_saved_as_a_version_that_does_not_answer_yet(clew_graph, data, stored, monkeypatch):
    """Choosing is a step of its own, and so is going back."""
    monkeypatch.setattr(graph_evaluate, "fit", judged(BETTER))

    result = clew_graph(
        "tune", data, "--question", "search", "--evaluations", 2, "--save", "--store", stored, "--project", "p"
    )

    assert "saved as version 1; it answers after: clew graph arms choose search 1" in result.stderr
    with closing(open_store(stored, read_only=True)) as store:
        (arm,) = store.arms("p", "search")
    assert (arm.arm, arm.version, arm.chosen) == ("hybrid", 1, False)
    assert "contained" in arm.weights
    assert "tuned on habits: +0.0200" in arm.note


def test_weights_that_may_be_chance_are_not_saved_unless_forced(clew_graph, data, stored, monkeypatch):
    """Otherwise every run of the tuner would leave a version."""
    monkeypatch.setattr(graph_evaluate, "fit", judged(CHANCE))
    common = ("tune", data, "--question", "search", "--evaluations", 1, "--save", "--store", stored, "--project", "p")

    assert "not saved" in clew_graph(*common, status=1).stderr
    with closing(open_store(stored, read_only=True)) as store:
        assert store.arms("p", None) == []

    clew_graph(*common, "--force")
    with closing(open_store(stored, read_only=True)) as store:
        assert len(store.arms("p", None)) == 1


def test_the_next_tool_is_stored_under_the_name_by_which_it_is_asked(clew_graph, data, stored, monkeypatch):
    """`clew graph suggest` looks for its arms there."""
    monkeypatch.setattr(graph_evaluate, "fit", judged(BETTER))

    clew_graph("tune", data, "--evaluations", 1, "--save", "--store", stored)

    with closing(open_store(stored, read_only=True)) as store:
        assert [arm.arm for arm in store.arms("default", "suggest")] == ["learned"]


def test_one_question_is_tuned_at_a_time(clew_graph, data):
    """Their weights have nothing to do with each other."""
    with pytest.raises(BadFilter, match="name one of next, path, plan, search"):
        clew_graph("tune", data, "--question", "next,path")
