"""What was moved answers as it did where it came from."""

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moving import everything, learn_all, learn_some, move, tell_of

from clew.model import Batch
from clew.store import open_store
from clew.store.retention import Policy
from clew.testing.store_contract import DAY_NS, START_NS, _stories, a_span, ids, put


@pytest.fixture
def sqlite(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/clew.db")
    yield store
    store.close()


@pytest.fixture
def postgres_store(postgres_schema):
    store = open_store(postgres_schema)
    yield store
    store.close()


def test_any_traces_answer_alike_from_memory_to_sqlite_to_postgres(sqlite, postgres_store, tmp_path):
    """Out of order, half learned, partly told of and never sent: the answers MUST be the same after two moves."""
    projects = (f"project {number}" for number in itertools.count())

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(_stories(), st.integers(0, 3), st.integers(0, 2))
    def check(story, learned, told):
        _, _, commits = story
        project = next(projects)
        memory = open_store("memory:")
        for at, batches in enumerate(commits):
            memory.write([Batch(project=project, spans=each.spans, scores=each.scores) for each in batches])
            if at < learned:
                learn_some(memory, learned)
        for number in range(told):
            tell_of(memory, project, str(number), a_span(90 + number, 0, kind="tool", name="told"))
        move(memory, sqlite, tmp_path / f"{project} once", project)
        move(sqlite, postgres_store, tmp_path / f"{project} twice.clew", project)
        expected = everything(memory, project)
        assert everything(sqlite, project) == expected
        assert everything(postgres_store, project) == expected

    check()


@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgres", "clickhouse"])
def test_what_was_counted_and_learned_of_traces_that_went_moves_too(kind, sqlite, tmp_path, request):
    """Retention took half of them and the minutes of their histograms; percentiles and graph are of all."""
    urls = {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path}/old.db"}
    names = {"postgres": "postgres_schema", "clickhouse": "clickhouse_database"}
    source = open_store(urls.get(kind) or request.getfixturevalue(names[kind]))
    for trace in range(30):
        day = trace % 3
        put(
            source,
            *[
                a_span(
                    trace,
                    number,
                    kind="tool",
                    name=f"tool {(number + trace) % 4}",
                    start_ns=START_NS - day * DAY_NS + number * 1_000_000,
                    end_ns=START_NS - day * DAY_NS + number * 1_000_000 + (trace + 1) * 10_000_000,
                    resource={"service.version": f"1.{day}"},
                )
                for number in range(4)
            ],
        )
    learn_all(source)
    found = source.expired(Policy(keep_ns=DAY_NS // 2), now_ns=START_NS + 1, limit=100)
    assert source.drop_expired(found).traces == 20
    source.drop_metrics(60, before_s=START_NS // 10**9 // 86_400 * 86_400, limit=1_000)
    put(source, a_span(50, kind="tool", name="not learned yet"))

    done = move(source, sqlite, tmp_path / "out")

    assert done.beyond == 1
    assert len(ids(sqlite)) == 11
    assert everything(sqlite, "default") == everything(source, "default")
    assert sum(each.count for each in sqlite.latency("default", since_ns=0, until_ns=START_NS + DAY_NS)) == 121
    source.close()
