"""The contract of a store on what people and arms decide: templates, arms, and suggestions with their outcomes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from clew.errors import BadFilter
from clew.graph import Graph
from clew.model.graph import Node
from clew.store.protocol import Store, SuggestionRecord
from clew.testing.store_contract import START_NS, OpensStore, a_trace_id
from clew.testing.store_contract_graph import a_graph, names_of

BOOK, SEARCH = Node("tool", "book"), Node("tool", "search")


def a_suggestion(number: int = 0, **fields: Any) -> SuggestionRecord:
    """Give a suggestion that is still open."""
    defaults: dict[str, Any] = {
        "suggestion_id": f"s{number}",
        "project": "default",
        "question": "suggest",
        "arm": "learned",
        "arm_version": 2,
        "trace_id": a_trace_id(number),
        "parent_span_id": "",
        "at_ns": START_NS + number,
        "ranked": [SEARCH, BOOK],
        "probabilities": [0.7, 0.1 + 0.2],
    }
    return SuggestionRecord(**defaults | fields)


class ChoicesContract(OpensStore):
    """What every store must keep of templates, arms and suggestions."""

    # Templates.

    def test_a_template_declares_its_edges(self, store: Store) -> None:
        """Each template that names an edge counts once; what was observed stays beside it."""
        store.apply_delta("default", "one", a_graph(("a", "b")), {})
        store.save_template("default", "trip", "a -> b", a_graph(("a", "b"), ("b", "c"), declared=1), START_NS)
        store.save_template("default", "other", "a -> b", a_graph(("a", "b"), declared=1), START_NS + 1)
        graph = store.graph("default")
        assert {
            (edge.origin.name, edge.declared, edge.count) for edge in graph.edges() if edge.type == "dependency"
        } == {
            ("a", 2, 0),
            ("b", 1, 0),
        }
        assert ("a", "b", "sequence") in names_of(graph)
        assert store.templates("default") == [("other", "a -> b", START_NS + 1), ("trip", "a -> b", START_NS)]
        assert store.graph_version("default") == 3

    def test_a_template_of_the_same_name_replaces(self, store: Store) -> None:
        """What it declared before is taken back."""
        store.save_template("default", "trip", "old", a_graph(("a", "b"), ("b", "c"), declared=1), START_NS)
        store.save_template("default", "trip", "new", a_graph(("b", "c"), ("c", "d"), declared=1), START_NS + 1)
        edges = {(edge.origin.name, edge.target.name): edge.declared for edge in store.graph("default").edges()}
        assert edges == {("b", "c"): 1, ("c", "d"): 1}
        assert store.templates("default") == [("trip", "new", START_NS + 1)]

    def test_a_template_that_is_removed_declares_nothing(self, store: Store) -> None:
        """What else is known of its tools stays."""
        store.apply_delta("default", "one", a_graph(("a", "b")), {})
        store.save_template("default", "trip", "text", a_graph(("a", "b"), declared=1), START_NS)
        assert store.remove_template("other", "trip") is False
        assert store.remove_template("default", "trip") is True
        assert store.remove_template("default", "trip") is False
        assert names_of(store.graph("default")) == {("a", "b", "sequence")}
        assert store.templates("default") == []

    def test_a_template_only_declares(self, store: Store) -> None:
        """Whatever else its graph may count is not evidence."""
        graph = a_graph(("a", "b"), declared=1)
        graph.merge(a_graph(("a", "b")))
        store.save_template("default", "trip", "text", graph, START_NS)
        assert names_of(store.graph("default")) == {("a", "b", "dependency")}
        assert store.graph("default").content()["nodes"] == {}

    def test_a_template_of_no_edge_still_names_its_tools(self, store: Store) -> None:
        """So that they can be asked for before they were ever called."""
        graph = Graph()
        graph.node(BOOK)
        store.save_template("default", "trip", "text", graph, START_NS)
        assert store.graph("default").nodes == [BOOK]

    # Arms.

    def test_arms_are_kept_with_their_versions(self, store: Store) -> None:
        """Counted for each question, never changed, not chosen until somebody does."""
        assert store.add_arm("default", "suggest", "learned", {"a": 0.1 + 0.2}, "first", START_NS) == 1
        assert store.add_arm("default", "suggest", "backoff", {}, "second", START_NS + 1) == 2
        assert store.add_arm("default", "path", "likely", {}, "", START_NS) == 1
        assert store.add_arm("other", "path", "likely", {}, "", START_NS) == 1
        first, second = store.arms("default", "suggest")
        assert (first.question, first.version, first.arm, first.weights) == ("suggest", 1, "learned", {"a": 0.1 + 0.2})
        assert (first.note, first.created_ns, first.chosen, first.share) == ("first", START_NS, False, 0.0)
        assert second.version == 2
        assert [(arm.question, arm.version) for arm in store.arms("default", None)] == [
            ("path", 1),
            ("suggest", 1),
            ("suggest", 2),
        ]
        assert store.arms("nobody", None) == []

    def test_arms_are_chosen_and_rolled_back(self, store: Store) -> None:
        """One answers all, several share, none leaves it to the default."""
        for version in range(3):
            store.add_arm("default", "suggest", "learned", {"v": version}, "", START_NS)
        store.add_arm("default", "path", "likely", {}, "", START_NS)
        store.choose_arms("default", "path", {1: 1.0})
        for shares in ({3: 1.0}, {1: 0.25, 3: 0.75}, {1: 1}, {}):
            store.choose_arms("default", "suggest", shares)
            assert {arm.version: arm.share for arm in store.arms("default", "suggest") if arm.chosen} == shares
        assert [arm.share for arm in store.arms("default", "path")] == [1.0]

    @pytest.mark.parametrize("shares", [{9: 1.0}, {1: 0.0}, {1: -1.0}, {1: 1.5}, {1: float("nan")}])
    def test_a_share_that_cannot_be_given_is_refused(self, store: Store, shares: dict[int, float]) -> None:
        """And what was chosen before stays."""
        store.add_arm("default", "suggest", "learned", {}, "", START_NS)
        store.choose_arms("default", "suggest", {1: 0.5})
        with pytest.raises(BadFilter):
            store.choose_arms("default", "suggest", shares)
        assert [arm.share for arm in store.arms("default", "suggest")] == [0.5]

    # Suggestions.

    def test_a_suggestion_is_open_until_its_outcome_is_known(self, store: Store) -> None:
        """Then it is scored, and stays so."""
        for number in range(3):
            store.log_suggestion(a_suggestion(number))
        store.log_suggestion(a_suggestion(0, arm="another"))
        traces = [a_trace_id(number) for number in (1, 0, 7)]
        assert store.open_suggestions("default", traces) == [a_suggestion(0), a_suggestion(1)]
        scored = a_suggestion(0, outcome=BOOK, rank=2, scored=True)
        store.score_suggestions([scored, a_suggestion(1)])
        store.score_suggestions([a_suggestion(0, outcome=SEARCH, rank=1, scored=True)])
        assert store.open_suggestions("default", traces) == [a_suggestion(1)]
        assert store.suggestion_records("default", "suggest", START_NS) == [scored, a_suggestion(1), a_suggestion(2)]

    def test_an_outcome_may_be_among_none_of_the_ranked(self, store: Store) -> None:
        """Rank 0: a miss is an outcome too."""
        store.log_suggestion(a_suggestion(0))
        missed = a_suggestion(0, outcome=Node("tool", "pay"), rank=0, scored=True)
        store.score_suggestions([missed])
        assert store.suggestion_records("default", "suggest", 0) == [missed]

    def test_what_nobody_followed_up_is_closed_without_an_outcome(self, store: Store) -> None:
        """Its trace never came; it counts neither as a hit nor as a miss."""
        for number in range(3):
            store.log_suggestion(a_suggestion(number))
        assert store.close_suggestions(START_NS + 2) == 2
        assert store.close_suggestions(START_NS + 2) == 0
        assert store.open_suggestions("default", [a_trace_id(number) for number in range(3)]) == [a_suggestion(2)]
        store.score_suggestions([a_suggestion(0, outcome=BOOK, rank=2, scored=True)])
        assert [record.scored for record in store.suggestion_records("default", "suggest", 0)] == [False, False, False]

    def test_suggestions_are_asked_by_project_question_and_time(self, store: Store) -> None:
        """An A/B looks at one of them."""
        store.log_suggestion(a_suggestion(1))
        store.log_suggestion(a_suggestion(2, question="plan"))
        store.log_suggestion(a_suggestion(3, project="other"))
        store.log_suggestion(
            a_suggestion(4, parent_span_id="ab", trace_id="no id ' at all", ranked=[], probabilities=[])
        )
        found = store.suggestion_records("default", "suggest", START_NS + 2)
        assert [record.suggestion_id for record in found] == ["s4"]
        assert found[0].trace_id == "no id ' at all"
        assert store.open_suggestions("default", [a_trace_id(3)]) == []
        assert store.suggestion_records("nobody", "suggest", 0) == []

    def test_a_record_is_the_callers_own(self, store: Store) -> None:
        """Changing it changes nothing that is kept."""
        record = a_suggestion(0)
        store.log_suggestion(record)
        before = msgspec.structs.replace(record)
        record.rank = 9
        store.open_suggestions("default", [a_trace_id(0)])[0].rank = 9
        assert store.open_suggestions("default", [a_trace_id(0)]) == [before]
