"""A store in ClickHouse can be left, and come back to, with all that it knows."""

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moving import everything, learn_some, move, tell_of

from clew.model import Batch
from clew.store import open_store
from clew.testing.store_contract import _stories, a_span


@pytest.fixture
def stores(tmp_path, clickhouse_database, postgres_schema):
    """Give a store of each kind in the order in which things move: SQLite, ClickHouse, PostgreSQL, SQLite."""
    urls = (f"sqlite:///{tmp_path}/first.db", clickhouse_database, postgres_schema, f"sqlite:///{tmp_path}/last.db")
    opened = [open_store(url) for url in urls]
    yield opened
    for store in opened:
        store.close()


def test_any_traces_answer_alike_after_a_round_through_all_backends(stores, tmp_path):
    """Out of order, half learned, partly told of and never sent: nobody who moves to ClickHouse has to stay."""
    projects = (f"project {number}" for number in itertools.count())

    @settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
    @given(_stories(), st.integers(0, 3), st.integers(0, 2))
    def check(story, learned, told):
        _, _, commits = story
        project = next(projects)
        first = stores[0]
        for at, batches in enumerate(commits):
            first.write([Batch(project=project, spans=each.spans, scores=each.scores) for each in batches])
            if at < learned:
                learn_some(first, learned)
        for number in range(told):
            tell_of(first, project, str(number), a_span(90 + number, 0, kind="tool", name="told"))
        for at, (source, target) in enumerate(itertools.pairwise(stores)):
            move(source, target, tmp_path / f"{project} {at}", project)
        expected = everything(first, project)
        for store in stores[1:]:
            assert everything(store, project) == expected

    check()
