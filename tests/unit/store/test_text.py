"""What a word is."""

import apsw
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clew.errors import BadFilter
from clew.store.sqlite.search import _TOKENIZER
from clew.store.text import CLIP_CHARS, check_words, spaced, text_of, words
from clew.testing.store_contract import a_span

LETTERS = "abcXYZ019_-.'\"*()\\ \n\t\x00éÀßñÖçØåšŁŽйЖωΣאעक्ति東京タワー한국어🧵,。"
_sqlite = apsw.Connection(":memory:")


@given(st.text(alphabet=LETTERS))
@example("İstanbul Straße naïve cafe\u0301")
def test_the_plain_reference_and_sqlite_agree_on_words(text):
    """Or a search would find in one store what it misses in the other."""
    tokenize = _sqlite.fts5_tokenizer("unicode61", _TOKENIZER)
    tokens = tokenize(
        spaced(text).encode(), apsw.FTS5_TOKENIZE_DOCUMENT, None, include_offsets=False, include_colocated=False
    )
    assert words(text) == set(tokens)


def test_names_errors_inputs_and_outputs_are_searched_but_not_keys_or_attributes():
    """Keys are in every trace, so they say nothing."""
    span = a_span(
        name="Retriever_docs",
        status_message="quota",
        inputs={"question": ["Where", {"deep": 42}, True, None, 1.5]},
        outputs="there",
        attributes={"secret": "hidden"},
    )
    assert words(text_of([span])) == {"retriever", "docs", "quota", "where", "42", "1", "5", "there"}


def test_a_character_of_an_unspaced_script_is_a_word():
    """東京 is found in 東京タワー."""
    assert words("東京") <= words("昔の東京タワー")


def test_only_the_beginning_of_a_long_text_is_searched():
    """An index of ten megabytes of log would cost more than it finds."""
    for long in ("x " * CLIP_CHARS + "end", ["x"] * CLIP_CHARS + ["end"], ["x " * CLIP_CHARS, "end"]):
        assert "end" not in words(text_of([a_span(inputs=long)]))
        assert "there" in words(text_of([a_span(inputs=long, outputs="there")]))


def test_deep_values_are_walked_without_recursion():
    """A client may nest a thousand lists."""
    deep = "bottom"
    for _ in range(50_000):
        deep = [deep]
    assert "bottom" in words(text_of([a_span(inputs=deep)]))
    while isinstance(deep, list):
        deep = deep.pop()


def test_a_search_has_some_words_and_not_too_many():
    """The error says which."""
    assert check_words(["b", "a", "b"]) == ["a", "b"]
    with pytest.raises(BadFilter, match="no word"):
        check_words([])
    with pytest.raises(BadFilter, match="17 words"):
        check_words(map(str, range(17)))
