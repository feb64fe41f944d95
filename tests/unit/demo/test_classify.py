"""What the demo's service finds out about a question, before it searches."""

from __future__ import annotations

import pytest

pytest.importorskip("pydoc_data.topics", reason="the demo's knowledge is CPython's own reference")

from examples.hybrid_rag.classify import classify, keywords_of, language_of


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ("What is the difference between a list and a tuple?", "en"),
        ("Was macht das Schlüsselwort yield in einer Funktion?", "de"),
        ("Quelle est la différence entre une liste et un tuple ?", "fr"),
        ("¿Para qué sirve la palabra yield en una función?", "es"),
        ("Что такое генератор?", "ru"),
        ("ジェネレータとは何ですか", "ja"),
        ("zxqv blorptang", "en"),
        ("", "en"),
    ],
)
def test_the_language_is_told_by_script_and_common_words(question, language):
    """The strategy hangs on it; a question that tells nothing is taken for English, as the knowledge is."""
    assert language_of(question) == language


def test_what_the_caller_fixed_stays():
    """`auto` asks us to choose; anything else is the caller's own choice."""
    features = classify("What is a tuple?", strategy="keyword", language="fr")

    assert (features.strategy, features.language) == ("keyword", "fr")


@pytest.mark.parametrize(
    ("question", "strategy"),
    [
        ("What happens when a function has no return statement?", "hybrid"),
        ("Was macht das Schlüsselwort yield in einer Funktion?", "dense"),
        ("__slots__", "keyword"),
        ("What is `__enter__`?", "keyword"),
    ],
)
def test_auto_picks_the_strategy_that_can_find_it(question, strategy):
    """Words do not cross languages; a name in code is found by no meaning."""
    assert classify(question).strategy == strategy


def test_keywords_are_the_words_that_mean_something_each_once():
    """BM25 would otherwise weigh the question's filling words."""
    assert keywords_of("What does the yield expression do, and why do generators yield?") == [
        "yield",
        "expression",
        "generator",
    ]


@pytest.mark.parametrize(
    ("question", "question_type"),
    [
        ("What is the difference between a list and a tuple?", "comparison"),
        ("Why is it slow?", "reason"),
        ("How do I sort a list?", "procedure"),
        ("What is a coroutine?", "definition"),
        ("Sort a list.", "other"),
    ],
)
def test_the_question_type_is_the_most_specific_that_fits(question, question_type):
    """ "What is the difference" compares, though it starts like a definition."""
    assert classify(question).question_type == question_type
