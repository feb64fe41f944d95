"""What was moved answers as it did where it came from."""

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moving import everything, learn_some, move, tell_of

from clew.model import Batch
from clew.store import open_store
from clew.testing.store_contract import _stories, a_span


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
