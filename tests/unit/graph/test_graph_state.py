"""What a graph keeps, how it is found, and what it costs."""

from __future__ import annotations

import copy
import gc
import random
import tracemalloc
from itertools import pairwise

import msgspec
import pytest

from clew.errors import UnknownNode
from clew.graph import Call, Graph, TraceCalls, learn, learn_into
from clew.graph import episodes as episodes_module
from clew.graph import exemplars as exemplars_module
from clew.graph.columns import MOST
from clew.graph.heat import HALF_LIFE_NS, LANDMARK_NS, heat_at, recent_count
from clew.graph.state import KEPT_TRACES, TOP, Episode, Step
from clew.model.graph import Node


def run(*names, id, ended_ns=1_000, ok=True):  # noqa: A002 (a keyword that reads well)
    """A flat trace: one call after another, the last ending at *ended_ns*."""
    calls = [
        Call(call_id=str(at), kind="tool", name=name, start_ns=ended_ns - 2 * (len(names) - at), end_ns=ended_ns, ok=ok)
        for at, name in enumerate(names)
    ]
    for call, after in pairwise(calls):
        call.end_ns = after.start_ns
    return TraceCalls(trace_id=id, calls=calls)


def learned(*traces):
    graph = Graph()
    for each in traces:
        learn_into(graph, each)
    return graph


def only_row(graph):
    [row] = graph.rows()
    return row


class TestNodes:
    def test_a_node_is_found_by_itself_by_kind_and_name_and_by_its_name_alone(self):
        """People type names; programs have nodes."""
        graph = Graph()
        book = graph.node(Node("tool", "book"))
        assert graph.find(Node("tool", "book")) == graph.find("tool:book") == graph.find("book") == book

    def test_a_name_with_a_colon_is_found_too(self):
        """Names are whatever clients send."""
        graph = Graph()
        odd = graph.node(Node("tool", "db:query"))
        assert graph.find("db:query") == graph.find("tool:db:query") == odd

    def test_a_name_of_two_kinds_is_ambiguous_and_both_are_named(self):
        """Guessing one would answer another question."""
        graph = Graph()
        graph.node(Node("tool", "book"))
        graph.node(Node("capability", "book"))
        with pytest.raises(UnknownNode) as caught:
            graph.find("book")
        assert caught.value.ambiguous
        assert set(caught.value.near) == {"tool:book", "capability:book"}

    def test_an_unknown_name_says_what_is_near(self):
        """A typing error is the usual reason."""
        graph = Graph()
        graph.node(Node("tool", "search_flights"))
        with pytest.raises(UnknownNode) as caught:
            graph.find("serch_flights")
        assert caught.value.near == ("search_flights",)

    def test_what_is_near_is_found_among_very_many_names(self):
        """Comparing each of a hundred thousand names would take a minute."""
        graph = Graph()
        for at in range(20_000):
            graph.node(Node("tool", f"tool_{at}"))
        graph.node(Node("tool", "search_flights"))
        with pytest.raises(UnknownNode) as caught:
            graph.find("search_flight")
        assert caught.value.near == ("search_flights",)

    def test_an_empty_graph_knows_nothing_and_says_so(self):
        """The first question often comes before the first trace."""
        with pytest.raises(UnknownNode, match="nothing like it"):
            Graph().find("book")


class TestColumns:
    @pytest.mark.parametrize(
        "look",
        [
            lambda graph: graph.count[0],
            lambda graph: graph.node_count[0],
            lambda graph: graph.edge(0).count,
            lambda graph: next(graph.edges()).count,
            lambda graph: next(graph.episodes()).count,
            lambda graph: graph.episode_count(),
            lambda graph: len(graph.edge_traces(0)),
            lambda graph: len(graph.edge_exemplars(0)),
            lambda graph: graph.derived("count", lambda each: each.count[0]),
            lambda graph: copy.deepcopy(graph).count[0],
        ],
    )
    def test_what_was_learned_is_there_whoever_looks_first(self, look):
        """It waits to be counted; no way of looking may miss it."""
        assert look(learned(run("a", "b", id="x"))) == 1

    def test_a_misspelt_attribute_is_an_error(self):
        """Columns come through the same door."""
        with pytest.raises(AttributeError, match="counts"):
            _ = Graph().counts

    def test_what_is_derived_is_made_anew_only_after_a_change(self):
        """Tables for a question take longer than the question."""
        graph = learned(run("a", "b", id="x"))
        made = []
        for _ in range(2):
            assert graph.derived("count", lambda each: made.append(1) or each.count[0]) == 1
        learn_into(graph, run("a", "b", id="y"))
        assert graph.derived("count", lambda each: made.append(1) or each.count[0]) == 2
        assert len(made) == 2

    def test_a_counter_stops_at_the_end_of_the_scale_in_both_directions(self):
        """A sum that overflowed would raise in the middle of a merge."""
        graph = Graph()
        row = graph.row(graph.node(Node("tool", "a")), graph.node(Node("tool", "b")), "sequence")
        graph.count_edge(row, count=1, duration_ns=MOST)
        graph.count_edge(row, count=1, duration_ns=MOST)
        assert graph.duration_ns[row] == MOST
        for _ in range(3):
            graph.count_edge(row, duration_ns=-MOST)
        assert graph.duration_ns[row] == -MOST


class TestEdges:
    def test_the_newest_few_traces_are_the_exemplars_in_whatever_order_they_come(self):
        """They are what a person opens to see why."""
        runs = [run("a", "b", id=f"trace {at}", ended_ns=1_000 + at) for at in range(6)]
        random.Random(4).shuffle(runs)
        graph = Graph()
        for each in runs:
            graph.merge(learn(each))
        assert graph.edge_traces(only_row(graph)) == ("trace 5", "trace 4", "trace 3")
        assert len(graph.edge_traces(only_row(graph))) == KEPT_TRACES

    def test_the_newest_of_two_graphs_are_the_exemplars_of_both_together(self):
        """Deltas of several servers interleave."""
        odd = learned(*[run("a", "b", id=f"trace {at}", ended_ns=at) for at in (101, 103, 105)])
        even = learned(*[run("a", "b", id=f"trace {at}", ended_ns=at) for at in (102, 104, 106)])
        odd.merge(even)
        assert odd.edge_traces(only_row(odd)) == ("trace 106", "trace 105", "trace 104")

    def test_of_traces_that_ended_together_the_ids_decide(self):
        """Otherwise the order in which they came would."""
        runs = [run("a", "b", id=f"trace {at}") for at in range(6)]
        for some in (runs, runs[::-1], runs[3:] + runs[:3]):
            graph = Graph()
            for each in some:
                graph.merge(learn(each))
            assert graph.edge_traces(only_row(graph)) == ("trace 5", "trace 4", "trace 3")

    def test_a_trace_that_shows_an_edge_in_two_scopes_hides_no_other(self):
        """Runs are counted by their shape, and both shapes have the edge."""

        def scopes(*parents, id, ended_ns):  # noqa: A002 (a keyword that reads well)
            calls = [Call(call_id=each, kind="tool", name=each, start_ns=0, end_ns=ended_ns) for each in parents]
            for parent in parents:
                calls += [
                    Call(call_id=f"{parent}.{at}", parent_id=parent, kind="tool", name=name, start_ns=at, end_ns=at + 1)
                    for at, name in enumerate("ab")
                ]
            return TraceCalls(trace_id=id, calls=calls)

        graph = learned(scopes("one", "two", id="newer", ended_ns=20), scopes("two", id="older", ended_ns=10))
        row = graph.row(graph.find("a"), graph.find("b"), "sequence")
        assert (graph.count[row], graph.edge_traces(row)) == (3, ("newer", "older"))

    def test_w3c_ids_and_other_ids_come_back_as_they_were(self):
        """Recorded traces are called 'task-7' and the like; only 32 lower-case hex digits are packed."""
        ids = ["0af7651916cd43dd8448eb211c80319c", "0AF7651916CD43DD8448EB211C80319C", "task-7"]
        graph = learned(*[run("a", "b", id=each, ended_ns=9 - at) for at, each in enumerate(ids)])
        assert list(graph.edge_traces(only_row(graph))) == ids

    def test_traces_that_no_edge_names_any_more_are_forgotten(self):
        """Or the table would grow by every trace there ever is."""
        graph = Graph()
        for at in range(5_000):
            learn_into(graph, run("a", "b", id=f"{at:032x}", ended_ns=at + 1))
            if at % 100 == 0:
                assert graph.edge_count() == 1
        assert graph.edge_traces(only_row(graph)) == tuple(f"{at:032x}" for at in (4_999, 4_998, 4_997))
        assert graph.size_bytes().traces < 100_000

    def test_when_there_are_too_many_traces_the_oldest_are_forgotten_first(self, monkeypatch):
        """A place has 21 bits; beyond a million different exemplars somebody has to go."""
        monkeypatch.setattr(exemplars_module, "MOST_TRACES", 1_000)
        graph = Graph()
        for at in range(3_000):
            graph.merge(learn(run(f"a{at}", f"b{at}", id=f"{at:032x}", ended_ns=at + 1)))
        named = [at for at in range(3_000) if graph.edge_traces(graph.row(2 * at, 2 * at + 1, "sequence"))]
        assert named == list(range(named[0], 3_000))
        assert 1_000 <= len(named) < 3_000

    def test_an_edge_that_is_taken_back_is_gone_and_its_row_is_used_again(self):
        """Corrections come all day; rows that stayed would be a leak."""
        graph = learned(run("a", "b", id="x"))
        for _ in range(100):
            graph.merge(learn(run("a", "b", id="x")), times=-1)
            assert graph.edge_count() == 0
            assert list(graph.edges()) == []
            learn_into(graph, run("a", "c", id="y"))
            graph.merge(learn(run("a", "c", id="y")), times=-1)
            learn_into(graph, run("a", "b", id="x"))
        assert graph.edge_count() == 1
        assert len(graph.count) <= 2

    def test_an_edge_that_a_difference_took_away_and_comes_again_is_counted_anew(self):
        """What the learner remembers of a scope must not point at a row that is gone."""
        graph = learned(run("a", "b", id="x"))
        row = only_row(graph)
        difference = Graph()
        ends = difference.node(Node("tool", "a")), difference.node(Node("tool", "b"))
        difference.count_edge(
            difference.row(*ends, "sequence"), count=-1, duration_ns=-graph.duration_ns[row], heat=-graph.heat[row]
        )
        graph.merge(difference)
        assert graph.edge_count() == 0
        learn_into(graph, run("a", "b", id="y"))
        assert [edge.count for edge in graph.edges()] == [1]

    def test_declared_edges_stay_when_observations_are_taken_back(self):
        """A template is no observation."""
        graph = learned(run("a", "b", id="x"))
        row = only_row(graph)
        graph.count_edge(row, declared=1)
        graph.merge(learn(run("a", "b", id="x")), times=-1)
        assert (graph.count[row], graph.declared[row], graph.edge(row).source) == (0, 1, "template")


class TestSettling:
    def test_a_difference_keeps_what_is_below_zero_until_it_is_merged(self):
        """Otherwise a correction would forget what to take back."""
        difference = Graph()
        difference.merge(learn(run("a", "b", id="x")), times=-1)
        assert difference.count[only_row(difference)] == -1
        assert [episode.count for episode in difference.episodes()] == [-1]
        assert difference.trace_count == -1

    def test_settling_drops_what_is_owed_and_nothing_else(self):
        """More was taken back than there was: no question should see an edge of minus one."""
        graph = learned(run("a", "b", id="x"))
        graph.merge(learn(run("b", "c", id="y")), times=-1)
        graph.settle()
        assert [(edge.origin.name, edge.target.name) for edge in graph.edges()] == [("a", "b")]
        assert [episode.count for episode in graph.episodes()] == [1]


class TestEpisodes:
    def test_of_too_many_episodes_those_longest_unseen_go_and_edges_stay_exact(self, monkeypatch):
        """A capability with many optional steps may never run twice alike."""
        monkeypatch.setattr(episodes_module, "MOST_EPISODES", 50)
        graph = Graph()
        for at in range(200):
            learn_into(graph, run(*["step"] * (at % 100 + 2), id=f"{at:032x}", ended_ns=10_000 + at))
            assert graph.episode_count() <= 50
        newest = max(graph.episodes(), key=lambda episode: episode.last_ns)
        assert newest.last_ns == 10_199
        assert min(episode.last_ns for episode in graph.episodes()) >= 10_150
        assert graph.count[only_row(graph)] == sum(at % 100 + 1 for at in range(200))

    def test_of_too_many_steps_the_longest_unseen_go_as_well(self, monkeypatch):
        """Twenty thousand episodes of 256 steps each would be half a gigabyte."""
        monkeypatch.setattr(episodes_module, "MOST_STEPS_KEPT", 1_000)
        graph = Graph()
        for at in range(100):
            learn_into(graph, run(*["step"] * (at + 2), id=f"{at:032x}", ended_ns=10_000 + at))
            assert sum(len(episode.steps) for episode in graph.episodes()) <= 1_000
        assert max(len(episode.steps) for episode in graph.episodes()) == 101

    def test_what_goes_and_comes_again_is_counted_anew(self, monkeypatch):
        """What the learner remembers of a scope must not point at an episode that is gone."""
        monkeypatch.setattr(episodes_module, "MOST_EPISODES", 5)
        graph = learned(run("a", "b", id="x", ended_ns=1_000))
        for at in range(10):
            graph.merge(learn(run(*["step"] * (at + 2), id=str(at), ended_ns=2_000 + at)))
        learn_into(graph, run("a", "b", id="y", ended_ns=3_000))
        [again] = [episode for episode in graph.episodes() if episode.traces == ("y",)]
        assert (again.count, again.scope) == (1, TOP)

    def test_what_the_learner_dropped_itself_and_meets_again_is_counted_anew(self, monkeypatch):
        """The same, where nothing but learning happened."""
        monkeypatch.setattr(episodes_module, "MOST_EPISODES", 5)
        graph = Graph()
        for at in range(40):
            learn_into(graph, run(*["step"] * (at % 10 + 2), id=str(at), ended_ns=1_000 + at))
            assert graph.episode_count() <= 5
            newest = max(graph.episodes(), key=lambda episode: episode.last_ns)
            assert (len(newest.steps), newest.traces[0]) == (at % 10 + 2, str(at))

    @pytest.mark.parametrize("names", [("a",), ("a", "b")])
    def test_what_a_difference_took_away_and_comes_again_is_counted_anew(self, names):
        """Corrections come as differences; what the learner remembers goes with what they take."""
        difference = Graph()
        difference.merge(learn(run(*names, id="x")), times=-1)
        graph = learned(run(*names, id="x"))
        graph.merge(difference)
        assert graph.episode_count() == 0
        learn_into(graph, run(*names, id="y"))
        assert graph.content(when=False) == learned(run(*names, id="y")).content(when=False)

    def test_an_episode_that_is_counted_twice_is_one(self):
        """Stores give them back one by one."""
        graph = Graph()
        steps = (Step(graph.node(Node("tool", "a")), True, ("id",), (), (), 0, 0),)
        episode = Episode(scope=TOP, steps=steps, count=2, heat=5, last_ns=7, exemplars=((7, "x"),))
        graph.count_episode(episode)
        graph.count_episode(msgspec.structs.replace(episode, last_ns=9, exemplars=((9, "y"),)))
        [kept] = graph.episodes()
        assert (kept.count, kept.heat, kept.last_ns, kept.traces) == (4, 10, 9, ("y", "x"))


class TestHeat:
    def test_what_is_a_half_life_old_weighs_half(self):
        """Old habits fade, and nothing has to be touched for that."""
        now_ns = LANDMARK_NS + 5 * HALF_LIFE_NS
        graph = learned(run("a", "b", id="x", ended_ns=now_ns - HALF_LIFE_NS), run("a", "b", id="y", ended_ns=now_ns))
        assert recent_count(graph.heat[only_row(graph)], now_ns) == pytest.approx(1.5)

    def test_each_call_and_each_observation_weighs(self):
        """A tool that is called three times in a trace is three times as warm."""
        graph = learned(run("a", "a", "a", id="x"))
        weight = heat_at(1_000)
        assert (graph.node_heat[0], graph.heat[only_row(graph)]) == (3 * weight, 2 * weight)

    @pytest.mark.parametrize("at_ns", [-MOST, 0, MOST])
    def test_no_clock_is_too_wrong(self, at_ns):
        """A weight is at least one and its sums fit."""
        assert 1 <= heat_at(at_ns) < 1 << 52


class TestSize:
    def test_an_edge_takes_under_a_hundred_bytes_beyond_its_place_in_the_dict_of_dicts(self):
        """Counters, ends and exemplars; at any scale, since it is columns."""
        dice = random.Random(7)
        follows = {at: [dice.randrange(1_000) for _ in range(10)] for at in range(1_000)}
        graph = Graph()
        for number in range(3_000):
            at, names = dice.randrange(1_000), []
            for _ in range(20):
                names.append(f"tool_{at}")
                at = dice.choice(follows[at])
            learn_into(graph, run(*names, id=f"{dice.getrandbits(128):032x}", ended_ns=10**9 + number))
        assert graph.edge_count() > 9_000
        size = graph.size_bytes()
        assert (size.counters + size.traces) / graph.edge_count() < 100

    def test_the_measure_is_what_the_allocator_says(self):
        """A figure that nobody checks drifts."""
        source = learned(*[run(*[f"t{at % 997}" for at in range(n, n + 12)], id=f"{n:032x}") for n in range(2_000)])
        gc.collect()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        graph = Graph()
        graph.merge(source)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert graph.size_bytes().total == pytest.approx(after - before, rel=0.25)
