"""The contract of a store on how traces go: by rule, and so that nothing is left of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from clew.config import AgeRule
from clew.errors import BadFilter
from clew.model import Batch, Score, Span
from clew.store.protocol import Expiring, Policy, Store, TraceFilter, Whom
from clew.testing.store_contract import ANY, DAY_NS, MINUTE_NS, SECOND_NS, START_NS, OpensStore, a_span, a_trace_id, put
from clew.testing.store_contract_choices import a_suggestion
from clew.testing.store_contract_graph import due, learn_all

NOW_NS = START_NS + 100 * DAY_NS
WINDOW: dict[str, Any] = {"since_ns": START_NS - DAY_NS, "until_ns": NOW_NS + DAY_NS}
DAYS_30 = Policy(keep_ns=30 * DAY_NS)


def aged(number: int, days: float, **fields: Any) -> Span:
    """Give the root of a trace that began so many days ago."""
    start_ns = NOW_NS - round(days * DAY_NS)
    return a_span(number, start_ns=start_ns, end_ns=start_ns + SECOND_NS, **fields)


def ids(found: Iterable[Expiring]) -> list[str]:
    """Give trace ids."""
    return [each.trace_id for each in found]


def listed(store: Store, project: str = "default") -> set[str]:
    """Give the ids of all traces that are shown."""
    return {trace.trace_id for trace in store.list_traces(project, ANY, limit=200).traces}


def drop(store: Store, policy: Policy, **asked: Any) -> int:
    """Drop all whose time is over; gives how many traces went."""
    gone = 0
    while found := store.expired(policy, now_ns=NOW_NS, limit=3):
        dropped = store.drop_expired(found, learned_only=False, **asked).traces
        assert dropped, "nothing goes any more"
        gone += dropped
    return gone


class RetentionContract(OpensStore):
    """What a store promises of how traces go."""

    def test_old_traces_go_and_young_ones_stay(self, store: Store) -> None:
        """Age counts from a trace's start, whenever it came."""
        put(store, aged(0, 31), aged(1, 29), aged(2, 30.001))
        assert drop(store, DAYS_30) == 2
        assert listed(store) == {a_trace_id(1)}
        assert store.trace("default", a_trace_id(0)) is None
        assert [store.stats()[name] for name in ("traces", "spans")] == [1, 1]

    def test_nothing_goes_without_a_rule(self, store: Store) -> None:
        """Whoever has not asked for it loses nothing."""
        put(store, aged(0, 4_000))
        assert store.expired(Policy(), now_ns=NOW_NS, limit=10) == []

    def test_errors_and_complaints_can_stay_longer(self, store: Store) -> None:
        """They are what is looked for."""
        rules = (AgeRule("status", "error", 60 * DAY_NS), AgeRule("flag", "USER_NEGATIVE", None))
        put(store, *(aged(number, 40) for number in (0, 1)), aged(2, 40, status="error"), aged(3, 61, status="error"))
        bad = Score(trace_id=a_trace_id(1), name="rating", value=1, best=5)
        store.write([Batch(project="default", scores=[bad])])
        assert drop(store, Policy(keep_ns=30 * DAY_NS, rules=rules)) == 2
        assert listed(store) == {a_trace_id(1), a_trace_id(2)}

    def test_of_several_rules_the_longest_decides(self, store: Store) -> None:
        """No rule takes away what another keeps; a project's stands in for the general one."""
        rules = (AgeRule("project", "demo", 7 * DAY_NS), AgeRule("status", "error", 60 * DAY_NS))
        for project in ("default", "demo"):
            put(store, aged(0, 8), aged(1, 8, status="error"), aged(2, 31), project=project)
        assert drop(store, Policy(keep_ns=30 * DAY_NS, rules=rules)) == 3
        assert [listed(store, project) for project in ("default", "demo")] == [
            {a_trace_id(0), a_trace_id(1)},
            {a_trace_id(1)},
        ]

    def test_what_expires_is_told_page_by_page(self, store: Store) -> None:
        """For a dry run, and so that a step need not look again at what stays."""
        for project in ("b", "a"):
            put(store, *(aged(number, 40 - number) for number in range(5)), project=project)
        pages, after = [], None
        while page := store.expired(DAYS_30, now_ns=NOW_NS, limit=3, after=after):
            pages.append([(each.project, each.trace_id, each.spans) for each in page])
            after = page[-1].place
        assert [len(page) for page in pages] == [3, 3, 3, 1]
        told = [each for page in pages for each in page]
        assert told == [(project, a_trace_id(number), 1) for project in ("a", "b") for number in range(5)]

    def test_traces_that_began_at_one_moment_are_all_told(self, store: Store) -> None:
        """A page may end between two of them."""
        put(store, *(aged(number, 40) for number in range(5)))
        first = store.expired(DAYS_30, now_ns=NOW_NS, limit=2)
        rest = store.expired(DAYS_30, now_ns=NOW_NS, limit=10, after=first[-1].place)
        assert ids([*first, *rest]) == [a_trace_id(number) for number in range(5)]

    def test_what_has_changed_since_it_was_found_stays(self, store: Store) -> None:
        """A complaint that comes this moment may give it another year."""
        put(store, aged(0, 40), aged(1, 40), aged(2, 40))
        found = store.expired(DAYS_30, now_ns=NOW_NS, limit=10)
        bad = Score(trace_id=a_trace_id(0), name="rating", value=1, best=5)
        store.write([Batch(project="default", scores=[bad])])
        put(store, a_span(1, 1, start_ns=aged(1, 40).start_ns))
        assert store.drop_expired(found, learned_only=False).traces == 1
        assert listed(store) == {a_trace_id(0), a_trace_id(1)}

    def test_what_is_not_learned_yet_says_so_and_stays(self, store: Store) -> None:
        """What it teaches would be lost."""
        put(store, aged(0, 40), aged(1, 40))
        [*found] = store.expired(DAYS_30, now_ns=NOW_NS, limit=10)
        assert [each.is_due for each in found] == [True, True]
        assert store.drop_expired(found).traces == 0
        learn_all(store)
        found = store.expired(DAYS_30, now_ns=NOW_NS, limit=10)
        assert [each.is_due for each in found] == [False, False]
        assert store.drop_expired(found).traces == 2

    def test_what_was_learned_and_counted_outlives_the_trace(self, store: Store) -> None:
        """The graph and the percentiles are why traces can go early."""
        put(store, *(aged(number, 40 - number, name="ask", kind="generation") for number in range(20)))
        learn_all(store)
        graph, before = store.graph("default"), store.latency("default", **WINDOW)
        assert drop(store, DAYS_30) == 10
        [after] = store.latency("default", **WINDOW)
        assert (after.count, after.mean_ms) == (before[0].count, before[0].mean_ms)
        assert after.p99_ms == pytest.approx(before[0].p99_ms, rel=0.01)
        assert store.graph("default").content() == graph.content()

    def test_dropping_twice_drops_once(self, store: Store) -> None:
        """Two processes may be at it."""
        put(store, aged(0, 40), aged(1, 1))
        found = store.expired(DAYS_30, now_ns=NOW_NS, limit=10)
        dropped = [store.drop_expired(found, learned_only=False).traces for _ in range(2)]
        assert dropped == [1, 0]
        assert store.stats()["traces"] == 1

    def test_a_late_span_of_a_dropped_trace_is_stored(self, store: Store) -> None:
        """It was acknowledged; that the rest of its trace has gone is no reason to lose it."""
        put(store, aged(0, 40))
        learn_all(store)
        drop(store, DAYS_30)
        late = a_span(0, 1, start_ns=NOW_NS, end_ns=NOW_NS + 1)
        put(store, late)
        stored = store.trace("default", a_trace_id(0))
        assert stored is not None
        assert [span.span_id for span in stored.spans] == [late.span_id]
        learn_all(store)
        assert due(store) == []

    def test_a_late_score_of_a_dropped_trace_is_kept_for_it(self, store: Store) -> None:
        """As one that comes before its trace; the scores from before are not."""
        score = Score(trace_id=a_trace_id(0), name="rating", value=1, best=5)
        put(store, aged(0, 40))
        store.write([Batch(project="default", scores=[score])])
        assert drop(store, DAYS_30) == 1
        assert store.stats()["scores"] == 0
        store.write([Batch(project="default", scores=[score])])
        put(store, a_span(0, start_ns=NOW_NS))
        assert [trace.flag for trace in store.list_traces("default", ANY, limit=9).traces] == ["USER_NEGATIVE"]

    def test_words_of_dropped_traces_find_nothing(self, store: Store) -> None:
        """And those of the others find them still."""
        put(store, aged(0, 40, inputs="tapir"), aged(1, 1, inputs="tapir"))
        drop(store, DAYS_30)
        found = store.list_traces("default", TraceFilter(text="tapir"), limit=9).traces
        assert [trace.trace_id for trace in found] == [a_trace_id(1)]

    def test_what_came_first_goes_first_for_lack_of_room(self, store: Store) -> None:
        """And what a rule keeps longer is spared."""
        policy = Policy(rules=(AgeRule("status", "error", 60 * DAY_NS),), most_bytes=1)
        put(store, aged(0, 1, status="error"))
        put(store, aged(1, 2), project="b")
        put(store, aged(2, 40))
        found = store.earliest(policy, limit=9)
        if found:  # A store that gives back by the day leaves today's.
            assert ids(found) == [a_trace_id(1), a_trace_id(2)]
            assert ids(store.earliest(policy, limit=9, after=found[0].place)) == [a_trace_id(2)]
            assert len(store.earliest(policy, limit=9, spare=False)) == 3

    def test_space_comes_to_an_end(self, store: Store) -> None:
        """Whoever gives back until nothing is left to give comes to an end."""
        put(store, *(aged(number, 40, inputs="x" * 2_000) for number in range(50)))
        drop(store, DAYS_30)
        for _ in range(1_000):
            if not store.give_back():
                break
        else:
            pytest.fail("it never ends")
        assert store.used_bytes() >= 0

    def test_finer_histograms_go_first_and_long_windows_stay_exact(self, store: Store) -> None:
        """Where minutes went a window has whole hours, then whole days."""
        day_ns = START_NS // DAY_NS * DAY_NS
        for at, start_ns in enumerate((day_ns + MINUTE_NS, day_ns + 90 * MINUTE_NS, day_ns + 2 * DAY_NS)):
            put(store, a_span(at, start_ns=start_ns, end_ns=start_ns + SECOND_NS))
        narrow: dict[str, Any] = {"since_ns": day_ns, "until_ns": day_ns + 5 * MINUTE_NS}
        first_hour: dict[str, Any] = {"since_ns": day_ns, "until_ns": day_ns + 30 * MINUTE_NS}
        whole: dict[str, Any] = {"since_ns": day_ns, "until_ns": day_ns + 4 * DAY_NS}
        before_s = (day_ns + DAY_NS) // 10**9
        assert _counts(store, narrow, first_hour, whole) == [1, 1, 3]
        while store.drop_metrics(60, before_s=before_s, limit=1):
            pass
        assert _counts(store, narrow, first_hour, whole) == [1, 1, 3]
        while store.drop_metrics(3_600, before_s=before_s, limit=1):
            pass
        assert _counts(store, whole) == [3]
        assert _counts(store, narrow) in ([1], [2])

    def test_a_histogram_that_comes_late_is_counted_once(self, store: Store) -> None:
        """It has a minute again, which is not read beside its hour."""
        day_ns = START_NS // DAY_NS * DAY_NS
        put(store, a_span(0, start_ns=day_ns, end_ns=day_ns + SECOND_NS))
        while store.drop_metrics(60, before_s=(day_ns + DAY_NS) // 10**9, limit=10):
            pass
        put(store, a_span(1, start_ns=day_ns, end_ns=day_ns + SECOND_NS))
        assert _counts(store, {"since_ns": day_ns, "until_ns": day_ns + DAY_NS}) == [2]
        assert _counts(store, {"since_ns": day_ns, "until_ns": day_ns + 90 * MINUTE_NS}) == [2]

    # Suggestions.

    def test_closed_suggestions_go_oldest_first(self, store: Store) -> None:
        """Those whose outcome is still waited for stay, and so does what is younger."""
        for number in range(6):
            store.log_suggestion(a_suggestion(number, project="default" if number % 2 else "other"))
        store.close_suggestions(START_NS + 2)
        store.score_suggestions([a_suggestion(number, scored=True) for number in (3, 5)])
        assert store.drop_suggestions(before_ns=START_NS + 5, limit=1) == 1
        assert _suggested(store) == {"s1", "s2", "s3", "s4", "s5"}
        assert store.drop_suggestions(before_ns=START_NS + 5, limit=9) == 2
        assert store.drop_suggestions(before_ns=START_NS + 5, limit=9) == 0
        assert _suggested(store) == {"s2", "s4", "s5"}
        assert store.open_suggestions("other", [a_trace_id(2), a_trace_id(4)]) != []

    # Erasure.

    @pytest.mark.parametrize(
        "whom",
        [Whom(user_id="ana"), Whom(session_id="s1"), Whom(trace_id=a_trace_id(0))],
        ids=["by user", "by session", "by trace"],
    )
    def test_who_is_erased_is_found_nowhere(self, store: Store, whom: Whom) -> None:
        """Neither listed, nor shown, nor found by words, nor an exemplar, nor to be learned."""
        for project in ("default", "b"):
            put(store, a_span(0, user_id="ana", session_id="s1", inputs="tapir"), project=project)
            put(store, a_span(0, 1, inputs="late tapir"), project=project)
            put(store, a_span(1, user_id="ben", inputs="tapir"), a_span(1, 1), project=project)
        learn_all(store)
        put(store, a_span(0, 2))
        store.log_suggestion(a_suggestion(1, trace_id=a_trace_id(0)))
        assert store.erase(whom) == (2, 5, ["b", "default"], [a_trace_id(0)])
        assert [listed(store, project) for project in ("default", "b")] == [{a_trace_id(1)}] * 2
        assert store.trace("default", a_trace_id(0)) is None
        found = store.list_traces("default", TraceFilter(text="tapir"), limit=9).traces
        assert [trace.trace_id for trace in found] == [a_trace_id(1)]
        assert _exemplars(store) == {a_trace_id(1)}
        assert store.open_suggestions("default", [a_trace_id(0)]) == []
        assert due(store) == []

    def test_a_user_of_any_span_is_erased_with_the_trace(self, store: Store) -> None:
        """A trace is one request; its summary names one user only."""
        put(store, a_span(0, user_id="ana"), a_span(0, 1, user_id="ben", session_id="s"))
        put(store, a_span(1, user_id="ana"))
        assert store.erase(Whom(user_id="ben")).traces == 1
        assert listed(store) == {a_trace_id(1)}

    def test_erasure_can_be_of_one_project(self, store: Store) -> None:
        """Users of two applications may have one id."""
        for project in ("a", "b"):
            put(store, a_span(0, user_id="ana"), project=project)
        assert store.erase(Whom(user_id="ana", project="b"))[:3] == (1, 1, ["b"])
        assert store.erase(Whom(user_id="ana", project="none"))[:3] == (0, 0, [])
        assert listed(store, "a") == {a_trace_id(0)}

    def test_scores_of_a_trace_that_never_came_are_erased(self, store: Store) -> None:
        """Their comments are what users said."""
        score = Score(trace_id=a_trace_id(0), name="rating", value=1, best=5, comment="I am Ana")
        store.write([Batch(project="default", scores=[score])])
        store.erase(Whom(trace_id=a_trace_id(0)))
        assert store.stats()["scores"] == 0

    def test_nobody_is_erased_by_saying_nothing(self, store: Store) -> None:
        """It could be read as everybody."""
        for whom in (Whom(), Whom(user_id=""), Whom(user_id="ana", session_id="s")):
            with pytest.raises(BadFilter):
                store.erase(whom)

    def test_erasing_keeps_what_was_counted(self, store: Store) -> None:
        """Numbers are nobody's."""
        put(store, *(a_span(number, user_id="ana") for number in range(3)))
        learn_all(store)
        version = store.graph_version("default")
        store.erase(Whom(user_id="ana"))
        assert store.latency("default", **WINDOW)[0].count == 3
        assert store.graph("default").trace_count == 3
        assert store.graph_version("default") > version, "who has the graph in memory must read it anew"

    def test_scrubbing_comes_to_an_end_and_keeps_the_rest(self, store: Store) -> None:
        """Once all is rewritten there is nothing left to do."""
        put(store, a_span(0, user_id="ana"), a_span(1, inputs="tapir"))
        store.erase(Whom(user_id="ana"))
        store.scrub()
        assert store.scrub() is False
        stored = store.trace("default", a_trace_id(1))
        assert stored is not None
        assert stored.spans[0].inputs == "tapir"
        assert len(store.list_traces("default", TraceFilter(text="tapir"), limit=9).traces) == 1

    def test_what_went_does_not_come_back_with_the_store(self, tmp_path: Path) -> None:
        """It was told that it is gone."""
        if not self.durable:
            pytest.skip("this store forgets by design")
        store = self.open(tmp_path)
        put(store, aged(0, 40), aged(1, 1, user_id="ana"), aged(2, 1))
        drop(store, DAYS_30)
        store.erase(Whom(user_id="ana"))
        store.close()
        again = self.open(tmp_path)
        try:
            assert listed(again) == {a_trace_id(2)}
        finally:
            again.close()


def _counts(store: Store, *windows: dict[str, Any]) -> list[int]:
    return [sum(each.count for each in store.latency("default", **window)) for window in windows]


def _exemplars(store: Store) -> set[str]:
    graph = store.graph("default")
    of_edges = [graph._edges.traces.of(row) for row in graph.rows()]
    of_variants = [episode.exemplars for episode in graph.episodes()]
    return {trace_id for exemplars in (*of_edges, *of_variants) for _, trace_id in exemplars}


def _suggested(store: Store) -> set[str]:
    return {
        record.suggestion_id
        for project in ("default", "other")
        for record in store.suggestion_records(project, "suggest", 0)
    }
