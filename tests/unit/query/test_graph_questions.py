"""Every question to the graph, asked in Python and as query strings, of a store that was taught by traces."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count

import msgspec
import pytest

from clew.errors import BadFilter, BadTemplate, MalformedId, StoreBusy, UnknownNode
from clew.graph import Call, TraceCalls, learn
from clew.jobs.learn import LearnJob
from clew.model import Batch, Span
from clew.model.graph import Node
from clew.query import graph_asking
from clew.query.graph import GraphQuestions
from clew.query.graph_arms import ARMS, DEFAULT_ARM, share_of
from clew.query.graph_asking import QUESTIONS
from clew.query.graph_params import MAX_K, Given
from clew.query.graph_rows import body
from clew.store.memory import MemoryStore

DAY_NS = 86_400 * 10**9
TODAY_NS = 1_795_219_200 * 10**9  # 2026-11-21, 00:00 UTC
MS = 1_000_000
GET_USER, SEARCH, BOOK, PAY, TRIP = "get_user", "search_flights", "book_flight", "pay", "book_trip"


class Taught:
    """A store, its learner and its questions, with a clock that is set by hand."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.now_ns = TODAY_NS + DAY_NS // 2
        self.questions = GraphQuestions(store, now_ns=lambda: self.now_ns)
        self.job = LearnJob(store, now_ns=lambda: 2**62, on_learned=self.questions.learned)
        self._ids = count(1)

    def trace(
        self,
        tools: list[str],
        *,
        project: str = "default",
        at_ns: int | None = None,
        version: str = "1.0",
        ask: str = "",
    ) -> str:
        """Store one request: a root, a capability in it, and in that *tools* one after the other. Gives its id."""
        number = next(self._ids)
        trace_id, start_ns = f"{number:032x}", TODAY_NS - DAY_NS // 2 if at_ns is None else at_ns
        resource = {"service.version": version}
        common = {"trace_id": trace_id, "resource": resource, "status": "ok"}
        end_ns = start_ns + (len(tools) + 1) * 10 * MS
        spans = [
            Span(**common, span_id=_id(number, 1), name="ask", kind="root", start_ns=start_ns, end_ns=end_ns,
                 input_preview=ask or None),
            Span(**common, span_id=_id(number, 2), parent_id=_id(number, 1), name=TRIP, kind="capability",
                 start_ns=start_ns + 1, end_ns=end_ns - 1),
        ]  # fmt: skip
        for at, name in enumerate(tools):
            begins_ns = start_ns + (at + 1) * 10 * MS - 5 * MS
            spans.append(
                Span(**common, span_id=_id(number, 3 + at), parent_id=_id(number, 2), name=name, kind="tool",
                     start_ns=begins_ns, end_ns=begins_ns + 5 * MS)
            )  # fmt: skip
        self.store.write([Batch(project=project, spans=spans)])
        return trace_id

    def learn(self) -> None:
        while self.job.learn_once():
            pass

    def ask(self, question: str, *params: tuple[str, str]):
        """Ask as a URL does."""
        return graph_asking.answer(self.questions, question, params)


def _id(trace: int, span: int) -> str:
    return f"{trace:08x}{span:08x}"


@pytest.fixture
def empty() -> Iterator[Taught]:
    """Nothing is learned yet."""
    taught = Taught(MemoryStore())
    yield taught
    taught.store.close()


@pytest.fixture
def taught(empty: Taught) -> Taught:
    """Nine usual trips and one that paid without booking."""
    for _ in range(9):
        empty.trace([GET_USER, SEARCH, BOOK, PAY], ask="book me a flight to Crete")
    empty.trace([GET_USER, PAY], ask="pay my bill")
    empty.learn()
    return empty


def names(ranked) -> list[str]:
    return [one.node.name for one in ranked]


# What each question answers.


def test_suggest_gives_what_usually_comes_next_and_why(taught):
    answer = taught.questions.suggest("default", called=[GET_USER, SEARCH], within=TRIP, k=1)

    assert names(answer.suggestions) == [BOOK]
    assert answer.suggestions[0].probability > 0.5
    assert answer.suggestions[0].reasons
    assert (answer.arm, answer.arm_version, answer.suggestion_id) == (DEFAULT_ARM["suggest"], 0, "")


def test_path_leads_from_one_tool_to_the_other(taught):
    answer = taught.questions.path("default", GET_USER, PAY, 1, "hops")

    assert [node.name for node in answer.paths[0].nodes] == [GET_USER, PAY]
    assert answer.paths[0].reasons


def test_plan_puts_what_is_needed_first(taught):
    answer = taught.questions.plan("default", [PAY, BOOK, SEARCH, "fly_to_the_moon"])

    order = [node.name for level in answer.levels for node in level]
    assert order.index(SEARCH) < order.index(BOOK) < order.index(PAY)
    assert answer.unknown == ("tool:fly_to_the_moon",)


def test_similar_gives_what_keeps_the_same_company(taught):
    answer = taught.questions.similar("default", SEARCH)

    assert SEARCH not in names(answer.similar)
    assert answer.similar


def test_search_finds_what_past_requests_of_such_words_used(taught):
    """Nothing in 'pay' or 'book_flight' says Crete; the requests that used them did."""
    answer = taught.questions.search("default", "Crete", k=5)

    assert BOOK in names(answer.found)
    assert all(one.reasons for one in answer.found)


def test_variants_are_the_usual_ways_with_their_shares(taught):
    answer = taught.questions.variants("default", TRIP)

    assert [(one.count, one.share) for one in answer.variants] == [(9, 0.9), (1, 0.1)]
    assert answer.runs == 10


def test_conform_finds_the_step_at_which_a_trace_left_the_usual_way(taught):
    odd = taught.trace([GET_USER, SEARCH, PAY])

    answer = taught.questions.conform("default", odd)

    assert not answer.fits
    (departure,) = [one for one in answer.departures if one.capability == Node("capability", TRIP)]
    assert departure.left_by == Node("tool", PAY)


def test_conform_of_a_trace_that_is_not_stored_is_none(taught):
    assert taught.questions.conform("default", "f" * 32) is None
    with pytest.raises(MalformedId):
        taught.questions.conform("default", "not an id")


def test_diff_of_days_finds_what_is_new(taught):
    """The week before had trips; this one cancels."""
    for _ in range(9):
        taught.trace([GET_USER, "cancel"], at_ns=TODAY_NS)
    taught.learn()

    answer = taught.questions.diff("default", "2026-11-20", "2026-11-21")

    assert Node("tool", "cancel") in answer.nodes_new
    assert Node("tool", BOOK) in answer.nodes_gone
    assert (answer.before, answer.before_traces, answer.after_traces) == ("2026-11-20", 10, 9)


def test_diff_of_versions_finds_what_is_new(taught):
    for _ in range(9):
        taught.trace([GET_USER, "cancel"], version="2.0")
    taught.learn()

    answer = taught.questions.diff("default", "version:1.0", "version:2.0")

    assert Node("tool", "cancel") in answer.nodes_new
    with pytest.raises(BadFilter, match=r"2\.0"):
        taught.questions.diff("default", "version:1.0", "version:2.1")


def test_diff_with_another_project_asks_whether_it_may_be_read(taught):
    for _ in range(9):
        taught.trace(["other"], project="secret")
    taught.learn()

    def refuse(project):
        raise PermissionError(project)

    with pytest.raises(PermissionError, match="secret"):
        taught.questions.diff("default", "project:secret", may_read=refuse)
    answer = taught.questions.diff("default", "project:secret")
    assert Node("tool", "other") in answer.nodes_gone


@pytest.mark.parametrize(("form", "sign"), [("dot", "digraph"), ("mermaid", "flowchart"), ("graphml", "<graphml")])
def test_export_writes_the_graph_for_other_tools(taught, form, sign):
    text = taught.questions.export("default", form)

    assert sign in text
    assert BOOK in text


def test_export_as_json_can_leave_out_what_was_seen_seldom(taught):
    def edges(*params):
        return json.loads(graph_asking.export(taught.questions, params)[0])["edges"]

    assert 0 < len(edges(("least_count", "5"))) < len(edges())
    assert len(edges(("type", "contains"))) < len(edges())


def test_nodes_and_edges_are_listed_most_often_seen_first(taught):
    nodes, node_count = taught.questions.nodes("default", kind="tool")
    edges, edge_count = taught.questions.edges("default", types=["sequence"], node=BOOK)

    assert [one.node.name for one in nodes][-2:] == [SEARCH, BOOK]
    assert [one.count for one in nodes] == sorted((one.count for one in nodes), reverse=True)
    assert (node_count, edge_count) == (4, 2)
    assert {(str(one.origin), str(one.target)) for one in edges} == {
        ("tool:search_flights", "tool:book_flight"),
        ("tool:book_flight", "tool:pay"),
    }


def test_a_list_says_how_much_it_leaves_out(taught):
    edges, total = taught.questions.edges("default", limit=1)

    assert len(edges) == 1 < total
    assert taught.questions.edges("default", source="template") == ([], 0)
    assert taught.questions.edges("default", source="inferred", least_count=2)[1] == 0


def test_the_summary_counts_what_there_is(taught):
    summary = taught.questions.summary("default")

    assert (summary.traces, summary.nodes, summary.nodes_by_kind["tool"]) == (10, 6, 4)
    assert sum(summary.edges_by_type.values()) == sum(summary.edges_by_source.values()) == summary.edges
    assert {one.node.name for one in summary.capabilities} == {"ask", TRIP}
    assert summary.tools[0].count == 10


# Bad questions.


def test_an_empty_graph_answers_with_nothing(empty):
    """A fresh installation is no error; an agent that asks it goes on without."""
    ask = empty.questions
    assert ask.suggest("default", called=["a"]).suggestions == ()
    assert ask.path("default", "a", "b").paths == ()
    assert ask.similar("default", "a").similar == ()
    assert ask.search("default", "anything").found == ()
    assert ask.variants("default", "a").variants == ()
    assert ask.diff("default").changes == ()
    assert ask.edges("default", node="a") == ([], 0)
    assert ask.nodes("default") == ([], 0)
    assert ask.plan("default", ["a"]).unknown == ("tool:a",)
    assert ask.summary("default").nodes == 0
    assert ask.ab("default").arms == ()
    assert json.loads(ask.export("default"))["edges"] == []


@pytest.mark.parametrize(
    "ask",
    [
        lambda questions: questions.path("default", "serch_flights", PAY),
        lambda questions: questions.similar("default", "serch_flights"),
        lambda questions: questions.variants("default", "serch_flights"),
        lambda questions: questions.edges("default", node="serch_flights"),
    ],
)
def test_an_unknown_tool_is_refused_with_those_like_it(taught, ask):
    with pytest.raises(UnknownNode) as caught:
        ask(taught.questions)

    assert caught.value.near[0] == SEARCH


def test_a_tool_that_was_never_seen_does_not_stop_suggestions(taught):
    """Agents get new tools; what else they called still says something."""
    assert taught.questions.suggest("default", called=[GET_USER, "brand_new"]).suggestions


@pytest.mark.parametrize(
    ("question", "params", "field"),
    [
        ("suggest", [("nonsense", "1")], "nonsense"),
        ("suggest", [("k", "0")], "k"),
        ("suggest", [("k", str(MAX_K + 1))], "k"),
        ("suggest", [("k", "many")], "k"),
        ("suggest", [("k", "1"), ("k", "2")], "k"),
        ("suggest", [("arm", "magic")], "arm"),
        ("suggest", [("arm", "7")], "arm"),
        ("suggest", [("log", "1")], "log"),
        ("suggest", [("called", "x" * 20_001)], "called"),
        ("path", [("from", GET_USER)], "to"),
        ("path", [("to", GET_USER)], "from"),
        ("plan", [], "tool"),
        ("plan", [("tool", "a")] * 1_001, "tool"),
        ("similar", [], "node"),
        ("search", [], "text"),
        ("search", [("text", "?!")], "text"),
        ("conform", [], "trace_id"),
        ("diff", [("before", "last summer")], "before"),
        ("diff", [("after", "last summer")], "after"),
        ("edges", [("type", "likes")], "type"),
        ("edges", [("source", "hearsay")], "source"),
        ("edges", [("limit", "10001")], "limit"),
        ("nodes", [("limit", "-1")], "limit"),
        ("arms", [("question", "diff")], "question"),
        ("ab", [("question", "diff")], "question"),
        ("ab", [("days", "0")], "days"),
    ],
)
def test_what_makes_no_sense_is_refused_and_named(taught, question, params, field):
    """A parameter that was ignored would look as if it had been obeyed."""
    with pytest.raises(BadFilter) as caught:
        taught.ask(question, *params)

    assert caught.value.field == field


def test_an_empty_value_means_not_given(taught):
    """That is what forms send."""
    assert taught.ask("suggest", ("within", ""), ("k", ""), ("arm", ""))["suggestions"]


def test_every_parameter_is_described_and_every_question_says_what_it_answers():
    """The schema is all that some clients see."""
    for question in QUESTIONS.values():
        assert question.says.endswith(".")
        assert all(not text[0].islower() and text.endswith(".") for text in question.params.values())


def test_names_are_taken_as_they_stand():
    """A tool may be called ' x ' or hold a newline."""
    assert Given([("node", " x\n")], ("node",)).node("node") == " x\n"


# Current, and apart.


def test_an_answer_counts_what_was_learned_just_now_without_reading_all_again(taught, monkeypatch):
    taught.questions.nodes("default")
    monkeypatch.setattr(taught.store, "graph", lambda project: pytest.fail(f"read {project} anew"))

    taught.trace([GET_USER, "brand_new"])
    taught.learn()

    assert taught.questions.nodes("default", kind="tool")[1] == 5


def test_a_span_that_comes_late_corrects_the_answer(taught):
    """What the trace taught before is taken back: nothing is counted twice."""
    before = {each.node.name: each.count for each in taught.questions.nodes("default")[0]}
    late = Span(
        trace_id=f"{10:032x}", span_id=_id(10, 99), parent_id=_id(10, 2), name=SEARCH, kind="tool",
        start_ns=TODAY_NS - DAY_NS // 2 + 11 * MS, end_ns=TODAY_NS - DAY_NS // 2 + 12 * MS,
    )  # fmt: skip
    taught.store.write([Batch(spans=[late])])
    taught.learn()

    after = {each.node.name: each.count for each in taught.questions.nodes("default")[0]}
    assert after == before | {SEARCH: 10}
    assert taught.questions.summary("default").traces == 10
    edges, _ = taught.questions.edges("default", types=["sequence"], node=PAY)
    assert {(each.origin.name, each.count) for each in edges} == {(BOOK, 9), (SEARCH, 1)}


def test_what_another_process_learned_is_seen(taught):
    """`clew mcp` on a store, while `clew serve` learns into it."""
    other = GraphQuestions(taught.store)
    assert other.nodes("default", kind="tool")[1] == 4
    taught.trace([GET_USER, "brand_new"])
    taught.learn()

    assert other.nodes("default", kind="tool")[1] == 5


def test_projects_are_apart(taught):
    taught.trace(["secret_tool", "other"], project="secret")
    taught.learn()

    assert taught.questions.summary("secret").traces == 1
    with pytest.raises(UnknownNode) as caught:
        taught.questions.similar("default", "secret_tool")
    assert "secret_tool" not in caught.value.near
    assert "secret_tool" not in str(body(taught.questions.suggest("default", called=[GET_USER], k=50)))


def test_search_hears_of_requests_that_came_later(taught):
    """The newest traces are looked for again after a while."""
    assert BOOK in names(taught.questions.search("default", "Crete").found)
    questions = GraphQuestions(taught.store)
    for _ in range(3):
        taught.trace([GET_USER, "feed_the_minotaur"], ask="what does a bull eat")
    taught.learn()

    assert "feed_the_minotaur" in names(questions.search("default", "bull").found)


# Arms.


def test_the_arm_that_was_chosen_answers_and_can_be_rolled_back(taught):
    ask = taught.questions
    first = ask.add_arm("default", "suggest", "follows", {}, "the counts alone")
    second = ask.add_arm("default", "suggest", "backoff", {})

    def arm():
        answer = ask.suggest("default", called=[GET_USER])
        return answer.arm, answer.arm_version

    assert arm() == ("learned", 0)
    ask.choose_arms("default", "suggest", {first: 1.0})
    assert arm() == ("follows", first)
    ask.choose_arms("default", "suggest", {second: 1.0})
    assert arm() == ("backoff", second)
    assert ask.roll_back("default", "suggest") == first
    assert arm() == ("follows", first)
    assert ask.roll_back("default", "suggest") == 0
    assert arm() == ("learned", 0)


def test_weights_of_a_stored_arm_are_used(taught):
    """What was called last is to say more."""
    version = taught.questions.add_arm("default", "suggest", "fixed", {"sequence": 5.0})

    own = taught.questions.suggest("default", called=[GET_USER], within=TRIP, arm="fixed")
    tuned = taught.questions.suggest("default", called=[GET_USER], within=TRIP, arm=str(version))

    assert (tuned.arm, tuned.arm_version) == ("fixed", version)
    assert [one.probability for one in own.suggestions] != [one.probability for one in tuned.suggestions]


@pytest.mark.parametrize("question", ARMS)
def test_each_question_can_be_asked_of_each_of_its_arms(taught, question):
    asked = {
        "suggest": [("called", GET_USER)],
        "path": [("from", GET_USER), ("to", PAY)],
        "plan": [("tool", BOOK), ("tool", PAY)],
        "similar": [("node", BOOK)],
        "search": [("text", "book a flight")],
    }
    for arm in ARMS[question]:
        assert taught.ask(question, *asked[question], ("arm", arm))["arm"] == arm


def test_in_an_ab_the_trace_decides_and_shares_are_kept(taught):
    """All questions of one trace have one arm, in every process."""
    version = taught.questions.add_arm("default", "suggest", "follows", {})
    taught.questions.choose_arms("default", "suggest", {version: 0.25})
    traces = [f"{number:032x}" for number in range(1, 401)]

    def arms(questions):
        return [questions.suggest("default", trace_id=each, log=False).arm_version for each in traces]

    first = arms(taught.questions)
    assert first == arms(GraphQuestions(taught.store))
    assert 60 <= sum(each == version for each in first) <= 140
    assert [each == version for each in first] == [share_of("suggest", each) < 0.25 for each in traces]


@pytest.mark.parametrize(("share", "answers"), [(0.4, 0), (0.6, 1)])
def test_without_a_trace_the_largest_share_answers(taught, share, answers):
    version = taught.questions.add_arm("default", "path", "hops", {})
    taught.questions.choose_arms("default", "path", {version: share})

    assert taught.questions.path("default", GET_USER, PAY).arm_version == answers


@pytest.mark.parametrize("shares", [{1: 0.0}, {1: -0.5}, {1: 1.5}, {1: 0.7, 2: 0.7}, {9: 0.5}, {1: float("nan")}])
def test_shares_that_make_no_sense_are_refused_and_change_nothing(taught, shares):
    for _ in range(2):
        taught.questions.add_arm("default", "path", "hops", {})
    taught.questions.choose_arms("default", "path", {1: 1.0})

    with pytest.raises(BadFilter, match="shares"):
        taught.questions.choose_arms("default", "path", shares)

    assert [(each.version, each.share) for each in taught.questions.arms("default", "path")] == [(1, 1.0), (2, 0.0)]


def test_an_arm_that_this_version_has_not_is_answered_by_the_default(taught):
    """Another version of Clew stored it; the answer says which arm it is from."""
    version = taught.store.add_arm("default", "path", "from_the_future", {}, "", 1)
    taught.store.choose_arms("default", "path", {version: 1.0})

    answer = taught.questions.path("default", GET_USER, PAY)

    assert (answer.arm, answer.arm_version) == (DEFAULT_ARM["path"], 0)


def test_arms_of_one_project_are_not_those_of_another(taught):
    taught.questions.add_arm("default", "path", "hops", {})

    assert taught.questions.arms("secret") == []


# The log.


def test_a_suggestion_for_a_trace_is_logged_and_scored_when_that_is_learned(taught):
    """That is how arms are compared on what really came."""
    trace_id = f"{11:032x}"
    taught.now_ns = TODAY_NS
    given = taught.questions.suggest(
        "default", called=[GET_USER, SEARCH], within=TRIP, trace_id=trace_id, parent_span_id=_id(11, 2)
    )
    assert taught.trace([BOOK], at_ns=TODAY_NS) == trace_id
    taught.learn()

    (record,) = taught.store.suggestion_records("default", "suggest", 0)
    assert (record.suggestion_id, record.outcome, record.rank) == (given.suggestion_id, Node("tool", BOOK), 1)
    assert record.probabilities == [one.probability for one in given.suggestions]
    (arm,) = taught.questions.ab("default").arms
    assert (arm.arm, arm.scored, arm.figures["hit@1"].value) == ("learned", 1, 1.0)


def test_a_suggestion_without_a_trace_is_not_logged(taught):
    taught.questions.suggest("default", called=[GET_USER])
    taught.questions.suggest("default", called=[GET_USER], trace_id="a" * 32, log=False)

    assert taught.store.suggestion_records("default", "suggest", 0) == []
    with pytest.raises(MalformedId):
        taught.questions.suggest("default", trace_id="not an id")


def test_an_answer_that_cannot_be_logged_is_given_all_the_same(taught, monkeypatch, caplog):
    """The agent waits for it; that its outcome is not counted is the smaller loss."""

    def busy(record):
        raise StoreBusy("the disk is slow")

    monkeypatch.setattr(taught.store, "log_suggestion", busy)

    answer = taught.questions.suggest("default", called=[GET_USER], trace_id="a" * 32)

    assert answer.suggestions
    assert answer.suggestion_id == ""
    assert "the disk is slow" in caplog.text


# Templates and deltas.


def test_a_template_declares_edges_until_it_is_removed(taught):
    name = taught.questions.save_template("default", f"name: trips\ntools:\n  {PAY}:\n    needs: [{GET_USER}]\n")

    edges, total = taught.questions.edges("default", types=["dependency"])
    assert (name, total, edges[0].source) == ("trips", 1, "template")
    assert [each[0] for each in taught.questions.templates("default")] == ["trips"]
    assert taught.ask("templates", ("name", "trips"))["templates"][0]["source"].startswith("name: trips")
    assert taught.questions.remove_template("default", "trips")
    assert taught.questions.edges("default", types=["dependency"]) == ([], 0)
    assert not taught.questions.remove_template("default", "trips")


def test_a_template_may_be_a_mapping_and_be_named_by_whoever_brings_it(taught):
    name = taught.questions.save_template("default", {BOOK: [SEARCH]}, name="short")

    assert name == "short"
    assert json.loads(taught.questions.templates("default")[0][1]) == {BOOK: [SEARCH]}


def test_a_cycle_in_a_template_is_refused_and_nothing_is_kept(taught):
    with pytest.raises(BadTemplate):
        taught.questions.save_template("default", {BOOK: [SEARCH], SEARCH: [BOOK]})

    assert taught.questions.templates("default") == []


def test_a_delta_counts_once_however_often_it_is_sent(taught, monkeypatch):
    """Its answer may be lost on the way, and it is sent again. It is added: many come, from each process."""
    call = Call(call_id="a", kind="tool", name="unsampled", start_ns=1, end_ns=2)
    delta = learn(TraceCalls(trace_id="t", calls=[call]))
    taught.questions.nodes("default")
    monkeypatch.setattr(taught.store, "graph", lambda project: pytest.fail(f"read {project} anew"))

    assert taught.questions.apply_delta("default", "delta-1", delta, {})
    assert not taught.questions.apply_delta("default", "delta-1", delta, {})
    nodes, _ = taught.questions.nodes("default")
    assert [each.count for each in nodes if each.node.name == "unsampled"] == [1]


def test_every_body_can_be_said_in_json(taught):
    """No number is infinite, and nothing is a Python thing."""
    asked = {
        "suggest": [("called", GET_USER)],
        "path": [("from", GET_USER), ("to", PAY)],
        "plan": [("tool", BOOK), ("tool", PAY)],
        "similar": [("node", BOOK)],
        "search": [("text", "book a flight")],
        "variants": [("capability", TRIP)],
        "conform": [("trace_id", f"{1:032x}")],
    }
    for question in QUESTIONS:
        answer = taught.ask(question, *asked.get(question, []))
        assert json.loads(msgspec.json.encode(answer)) == answer, question
