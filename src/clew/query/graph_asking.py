"""
Query strings -> questions to the graph -> JSON bodies.

The server's routes and `clew graph` both come through here, so a parameter means the same in a URL
and on the command line. Nothing here knows of HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from clew.graph.render import FORMATS
from clew.query.filters import DEFAULT_PROJECT, Params, one_of
from clew.query.graph import GraphQuestions
from clew.query.graph_arms import ARMS, DEFAULT_ARM
from clew.query.graph_params import (
    AB_PARAMS,
    ARMS_PARAMS,
    CONFORM_PARAMS,
    DIFF_PARAMS,
    EDGES_PARAMS,
    EXPORT_PARAMS,
    MAX_CALLED,
    MAX_ROWS,
    MAX_TOOLS,
    NODES_PARAMS,
    PATH_PARAMS,
    PLAN_PARAMS,
    SEARCH_PARAMS,
    SIMILAR_PARAMS,
    SOURCES,
    SUGGEST_PARAMS,
    SUMMARY_PARAMS,
    TEMPLATES_PARAMS,
    VARIANTS_PARAMS,
    Given,
    days_of,
)
from clew.query.graph_rows import arm_row, body, edge_row, node_row, template_row


class Asked(NamedTuple):
    """What every question is asked of."""

    questions: GraphQuestions
    project: str
    given: Given
    project_for: Callable[[str | None], str]
    """Gives the project to read where that one is named, or refuses."""


def _suggest(ask: Asked) -> Any:
    given = ask.given
    return body(
        ask.questions.suggest(
            ask.project,
            called=given.nodes("called", MAX_CALLED),
            within=given.node("within"),
            pending=given.nodes("pending", MAX_CALLED) or None,
            trace_id=given.text("trace_id"),
            parent_span_id=given.text("parent_span_id") or "",
            k=given.count("k", 5),
            arm=given.text("arm"),
            log=given.read("log", lambda name, text: one_of(name, text, ("0", "1")) == "1"),
        )
    )


def _path(ask: Asked) -> Any:
    given = ask.given
    start, goal = given.needed("from"), given.needed("to")
    k, arm, trace_id = given.count("k", 3), given.text("arm"), given.text("trace_id")
    return body(ask.questions.path(ask.project, start, goal, k, arm, trace_id=trace_id))


def _plan(ask: Asked) -> Any:
    given = ask.given
    given.needed("tool")
    tools = given.nodes("tool", MAX_TOOLS)
    return body(ask.questions.plan(ask.project, tools, given.text("arm"), trace_id=given.text("trace_id")))


def _similar(ask: Asked) -> Any:
    given = ask.given
    node, k, arm, trace_id = given.needed("node"), given.count("k", 5), given.text("arm"), given.text("trace_id")
    return body(ask.questions.similar(ask.project, node, k, arm, trace_id=trace_id))


def _search(ask: Asked) -> Any:
    given = ask.given
    return body(
        ask.questions.search(
            ask.project,
            given.needed("text"),
            called=given.nodes("called", MAX_CALLED),
            within=given.node("within"),
            k=given.count("k", 5),
            arm=given.text("arm"),
            trace_id=given.text("trace_id"),
        )
    )


def _variants(ask: Asked) -> Any:
    return body(ask.questions.variants(ask.project, ask.given.node("capability"), ask.given.count("k", 10)))


def _conform(ask: Asked) -> Any:
    return body(ask.questions.conform(ask.project, ask.given.needed("trace_id").strip()))


def _diff(ask: Asked) -> Any:
    before, after, k = ask.given.text("before"), ask.given.text("after"), ask.given.count("k", 50)
    return body(ask.questions.diff(ask.project, before, after, k=k, may_read=ask.project_for))


def _summary(ask: Asked) -> Any:
    summary = ask.questions.summary(ask.project)
    rows = {
        name: [node_row(each, now_ns=ask.questions.now_ns()) for each in getattr(summary, name)]
        for name in ("capabilities", "tools")
    }
    return {**body(summary), **rows}


def _nodes(ask: Asked) -> Any:
    limit = ask.given.count("limit", 100, most=MAX_ROWS)
    nodes, total = ask.questions.nodes(ask.project, kind=ask.given.text("kind"), limit=limit)
    return {"nodes": [node_row(each, now_ns=ask.questions.now_ns()) for each in nodes], "total": total}


def _edges(ask: Asked) -> Any:
    given = ask.given
    edges, total = ask.questions.edges(
        ask.project,
        types=given.types(),
        node=given.node("node"),
        source=given.read("source", lambda name, text: one_of(name, text.lower(), SOURCES)),
        least_count=given.count("least_count", 0, least=0, most=10**9),
        limit=given.count("limit", 100, most=MAX_ROWS),
    )
    return {"edges": [edge_row(each, now_ns=ask.questions.now_ns()) for each in edges], "total": total}


def _templates(ask: Asked) -> Any:
    wanted = ask.given.text("name")
    found = [each for each in ask.questions.templates(ask.project) if wanted in (None, each[0])]
    return {"templates": [template_row(*each) for each in found]}


def _arms(ask: Asked) -> Any:
    question = ask.given.text("question")
    known = {name: list(arms) for name, arms in ARMS.items() if question in (None, name)}
    stored = [arm_row(each) for each in ask.questions.arms(ask.project, question)]
    return {"arms": stored, "known": known, "default": {name: DEFAULT_ARM[name] for name in known}}


def _ab(ask: Asked) -> Any:
    days = ask.given.read("days", days_of) or 30.0
    return body(ask.questions.ab(ask.project, ask.given.text("question") or "suggest", days=days))


class Question(NamedTuple):
    """One question: its parameters, each with one sentence, and what answers it."""

    params: Mapping[str, str]
    answer: Callable[[Asked], Any]
    says: str


QUESTIONS: Mapping[str, Question] = {
    "summary": Question(
        SUMMARY_PARAMS, _summary, "The graph at a glance: its size, and its most called capabilities and tools."
    ),
    "suggest": Question(SUGGEST_PARAMS, _suggest, "What usually comes next, with probabilities and reasons."),
    "path": Question(PATH_PARAMS, _path, "The best ways from one node to another."),
    "plan": Question(PLAN_PARAMS, _plan, "In which order to run a set of tools, and what can run side by side."),
    "similar": Question(SIMILAR_PARAMS, _similar, "The nodes that keep the same company."),
    "search": Question(SEARCH_PARAMS, _search, "Tools and capabilities, found by what they are for."),
    "variants": Question(VARIANTS_PARAMS, _variants, "The usual ways in which a capability runs."),
    "conform": Question(CONFORM_PARAMS, _conform, "Where one trace left the usual ways."),
    "diff": Question(DIFF_PARAMS, _diff, "What changed between two times, versions or projects."),
    "nodes": Question(NODES_PARAMS, _nodes, "Tools, capabilities and other steps, most called first."),
    "edges": Question(EDGES_PARAMS, _edges, "What contains, follows and feeds what, most often seen first."),
    "templates": Question(TEMPLATES_PARAMS, _templates, "The declared workflows."),
    "arms": Question(ARMS_PARAMS, _arms, "The arms of each question, what is stored of them, and which answer."),
    "ab": Question(AB_PARAMS, _ab, "What logged suggestions came to, arm by arm."),
}
"""What `GET /api/v1/admin/graph/{question}` answers, `export` aside, which is no JSON."""


def any_project(wanted: str | None) -> str:
    """Give the project to read, for whoever may read all of them."""
    return wanted or DEFAULT_PROJECT


def answer(
    questions: GraphQuestions,
    question: str,
    params: Params,
    project_for: Callable[[str | None], str] = any_project,
) -> dict[str, Any] | None:
    """
    Give the body of `GET /api/v1/admin/graph/{question}`; None if `conform` is asked of a trace that is not stored.

    Raises:
        BadFilter: a parameter is unknown, missing or makes no sense.
        UnknownNode: a tool or capability that the graph does not have.
    """
    asked = QUESTIONS[question]
    given = Given(params, asked.params)
    ask = Asked(questions, project_for(given.text("project")), given, project_for)
    made: dict[str, Any] | None = asked.answer(ask)
    return made


def export(
    questions: GraphQuestions, params: Params, project_for: Callable[[str | None], str] = any_project
) -> tuple[str, str, str]:
    """
    Give the graph as text, with its format and project: `GET /api/v1/admin/graph/export`.

    Raises:
        BadFilter: a parameter is unknown or makes no sense.
    """
    given = Given(params, EXPORT_PARAMS)
    form = given.read("format", lambda name, text: one_of(name, text.lower(), FORMATS)) or "json"
    project = project_for(given.text("project"))
    least = given.count("least_count", 1, least=0, most=10**9)
    return questions.export(project, form, types=given.types() or None, least_count=least), form, project
