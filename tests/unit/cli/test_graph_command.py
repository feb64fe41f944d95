"""What the graph answers, as people read it: on 80 columns, with reasons, and nothing that a terminal obeys."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from clew.cli import graph_text as show
from clew.cli.graph_change import _shares, _weights
from clew.errors import ConfigError
from clew.graph.ab import AbArm, AbDifference, AbReport
from clew.graph.statistics import Interval
from clew.model.graph import (
    Conformance,
    Departure,
    EdgeChange,
    Found,
    GraphDiff,
    Node,
    Path,
    Paths,
    Plan,
    PlanEdge,
    Reason,
    SearchResult,
    Similar,
    Similars,
    Suggestion,
    Suggestions,
    Variant,
    Variants,
)
from clew.query.graph_rows import body

SEARCH, BOOK, PAY, TRIP = (Node("tool", name) for name in ("search_flights", "book_flight", "pay", "trip"))
EVIL = Node("tool", "\x1b]0;owned\x07\x9b2Jevil\nsecond line " + "x" * 10_000)
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
WHY = Reason(text="book_flight followed search_flights in 31 of 40 runs", traces=(TRACE_ID,))
NEXT = Suggestion(node=BOOK, probability=0.775, reasons=(WHY,))
USUAL = Variant(steps=((SEARCH,), (BOOK, PAY)), count=31, share=0.775, failures=2, mean_duration_ms=1234.0)
RIGHT = Interval(value=0.8, low=0.6, high=0.95)

ANSWERS = {
    show.print_suggestions: Suggestions(arm="learned", arm_version=0, suggestions=(NEXT,)),
    show.print_paths: Paths(
        arm="likely", arm_version=2, paths=(Path(nodes=(SEARCH, BOOK), cost=0.25, reasons=(WHY,)),)
    ),
    show.print_plan: Plan(
        arm="learned",
        arm_version=0,
        levels=((SEARCH,), (BOOK, PAY)),
        edges=(PlanEdge(origin=SEARCH, target=BOOK, evidence=0.9, reasons=(WHY,)),),
        refused=(PlanEdge(origin=BOOK, target=SEARCH, evidence=0.1),),
        unknown=("fly_to_the_moon",),
    ),
    show.print_similar: Similars(
        arm="company", arm_version=0, similar=(Similar(node=BOOK, score=0.5, reasons=(WHY,)),)
    ),
    show.print_found: SearchResult(arm="hybrid", arm_version=0, found=(Found(node=BOOK, score=2.5, reasons=(WHY,)),)),
    show.print_variants: Variants(capability=TRIP, runs=40, variants=(USUAL,)),
    show.print_conformance: Conformance(
        trace_id=TRACE_ID,
        fits=False,
        checked=3,
        departures=(
            Departure(
                capability=TRIP, span_id="a" * 16, position=1, left_by=PAY, left_by_span_id="b" * 16, expected=(NEXT,),
                usual=USUAL,
            ),
        ),
    ),
    show.print_ab: AbReport(
        arms=(
            AbArm(
                arm="learned", version=3, scored=40, ended=1, unscored=2, traces=20,
                figures={"hit@1": RIGHT, "ece": RIGHT},
            ),
        ),
        differences=(AbDifference(version=3, than=0, figures={"hit@1": RIGHT}),),
        warnings=("version 3 (learned) was scored on 20 traces",),
    ),
    show.print_diff: GraphDiff(
        before="version 1",
        after="version 2",
        before_traces=10,
        after_traces=1,
        nodes_new=(PAY,),
        nodes_gone=(),
        changes=(
            EdgeChange(
                origin=SEARCH, target=BOOK, type="sequence", change="less", before_count=9, after_count=1,
                before_share=0.9, after_share=0.1, surprise=4.0,
            ),
        ),
    ),
}  # fmt: skip


def printed(printer, answer, width=80):
    file = io.StringIO()
    printer(Console(file=file, width=width), body(answer))
    return file.getvalue()


def hostile(answer):
    """The same answer, with another name for everything."""
    if isinstance(answer, Node):
        return EVIL
    if isinstance(answer, str):
        return answer if re.fullmatch("[0-9a-f]+", answer) else EVIL.name
    if isinstance(answer, dict):
        return {name: hostile(value) if name not in ("type", "change") else value for name, value in answer.items()}
    return [hostile(each) for each in answer] if isinstance(answer, (list, tuple)) else answer


@pytest.mark.parametrize("printer", ANSWERS, ids=lambda printer: printer.__name__)
def test_an_answer_fits_eighty_columns(printer):
    """What is cut or broken elsewhere is hard to read; a command to copy may be longer."""
    lines = printed(printer, ANSWERS[printer]).splitlines()

    assert [line for line in lines if len(line) > 80 and "clew traces show" not in line] == []


@pytest.mark.parametrize("printer", ANSWERS, ids=lambda printer: printer.__name__)
def test_nothing_that_was_traced_reaches_the_terminal_as_a_command(printer):
    """Names and reasons are whatever somebody sent."""
    file = io.StringIO()
    printer(Console(file=file, width=80), hostile(body(ANSWERS[printer])))
    text = file.getvalue()

    assert "evil" in text
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)
    assert len(text) < 20_000


@pytest.mark.parametrize(
    ("printer", "says"),
    [
        (show.print_suggestions, ["book_flight", "77.5 %", "31 of 40 runs", f"clew traces show {TRACE_ID}", "learned"]),
        (show.print_paths, ["search_flights → book_flight", "cost 0.25", "likely, version 2"]),
        (show.print_plan, ["1. search_flights", "2. book_flight, pay", "fly_to_the_moon", "cycle"]),
        (show.print_variants, ["40 runs", "77.5 %", "2 failed", "1.23 s", "search_flights → (book_flight, pay)"]),
        (show.print_conformance, ["trip left the usual ways after 1 step", "pay", "b" * 16, "book_flight 78 %"]),
        (
            show.print_ab,
            ["learned, version 3", "20 traces, 40 suggestions scored, 2 waiting", "between 0.600 and 0.950"],
        ),
        (show.print_diff, ["version 1 (10 traces)", "version 2 (1 trace)", "pay", "90 % → 10 %", "1 in 10,000"]),
    ],
)
def test_an_answer_says_what_it_rests_on(printer, says):
    """A figure without its reason cannot be judged."""
    text = printed(printer, ANSWERS[printer], width=120)

    assert [each for each in says if each not in text] == []


def test_an_empty_graph_says_what_to_wait_for():
    text = printed(show.print_suggestions, Suggestions(arm="learned", arm_version=0, suggestions=()))

    assert "nothing was learned" in text


def test_a_trace_that_went_a_usual_way_is_said_to_fit():
    text = printed(show.print_conformance, Conformance(trace_id=TRACE_ID, fits=True, checked=1, departures=()))

    assert text == "As usual: 1 capability run compared.\n"


def test_a_kind_is_shown_where_it_is_neither_tool_nor_capability():
    """ChatOpenAI alone could be anything."""
    node = Node("generation", "ChatOpenAI")
    found = SearchResult(arm="text", arm_version=0, found=(Found(node=node, score=1.0),))

    assert "ChatOpenAI (generation)" in printed(show.print_found, found)


def test_shares_are_versions_or_versions_with_their_part():
    assert _shares(["3"]) == {"3": 1.0}
    assert _shares(["3=0.5", "4=0.25"]) == {"3": 0.5, "4": 0.25}
    with pytest.raises(ConfigError, match="VERSION=SHARE"):
        _shares(["3=half"])


def test_weights_are_json_or_a_file_of_it(tmp_path):
    """`clew graph tune` writes a file."""
    (tmp_path / "w.json").write_text('{"order": 2}')

    assert _weights(f"@{tmp_path / 'w.json'}") == _weights('{"order": 2.0}') == {"order": 2.0}
    with pytest.raises(ConfigError, match="no JSON object of numbers"):
        _weights('{"order": "much"}')
    with pytest.raises(ConfigError):
        _weights("@/nowhere/w.json")
