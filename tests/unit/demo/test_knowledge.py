"""How the demo cuts what it knows into passages."""

from __future__ import annotations

import pytest

pytest.importorskip("pydoc_data.topics", reason="this Python was installed without its documentation")

from examples.hybrid_rag import knowledge
from examples.hybrid_rag.knowledge import documents, global_knowledge, sections, shorten

PROSE = "A sentence that is long enough to be worth keeping as a passage of its own, if only just so."


def cut(text):
    return list(sections(text, knowledge._MD_HEADING))


def test_a_section_is_a_passage():
    """A section is about one thing, so its vector means one thing."""
    assert cut(f"# One\n\n{PROSE}\n\n## Two\n\n{PROSE} Again.") == [("One", PROSE), ("Two", f"{PROSE} Again.")]


@pytest.mark.parametrize(
    "noise", ["| a | table |", "```sh\nmake demo\n```", "![a picture](x.png)", 'yield_stmt ::= "yield"']
)
def test_what_is_no_prose_is_left_out(noise):
    """A small model recites grammar and tables instead of answering."""
    assert cut(f"# One\n\n{noise}\n\n{PROSE}") == [("One", PROSE)]


def test_a_section_too_short_to_say_anything_is_left_out():
    """It would be found for its title and answer nothing."""
    assert cut("# One\n\nShort.") == []


def test_shortening_ends_after_a_sentence():
    """A model goes on from half a sentence instead of answering."""
    assert shorten("The first one. The second one. The third one.", 32) == "The first one. The second one."


def test_shortening_one_long_sentence_ends_after_a_word_visibly():
    """Some sentences of the reference are longer than a passage."""
    assert shorten("one two three four", 10) == "one two…"


def test_the_language_reference_is_there_and_each_section_once():
    """Topics of pydoc overlap: the same section would fill all the places among the best three."""
    passages = global_knowledge()

    assert len(passages) > 100
    assert len({passage.text for passage in passages}) == len(passages)
    assert any('"yield"' in passage.title for passage in passages)


def test_ids_of_passages_are_unique():
    """A trace names its sources by them."""
    found = [*global_knowledge(), *documents()]

    assert len({passage.id for passage in found}) == len(found)


def test_clews_own_docs_are_the_documents():
    """A newcomer asks the demo about Clew."""
    assert any(passage.id.startswith("docs/") for passage in documents())
