"""
What full text search sees of a span, and what counts as a word.

Searched are a span's name, its error, and the values in its inputs and outputs, the first
`CLIP_CHARS` characters of each; keys and attributes are not. A word is a run of letters, digits and their
marks, without case and accents; in Chinese and Japanese each character is one, since these write
no spaces.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from clew.errors import BadFilter
from clew.model import Span

CLIP_CHARS = 20_000
MAX_WORDS = 16

_UNSPACED = re.compile("([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f])")
_EMOJI = re.compile("[\U0001f000-\U0001faff]")
_ACCENTS = range(0x300, 0x332)
"""The combining accents that SQLite's tokenizer drops."""


def text_of(spans: Iterable[Span]) -> str:
    """Give what can be searched of *spans*, as one text in which words stand apart."""
    pieces: list[str] = []
    for span in spans:
        pieces.append(span.name)
        if span.status_message:
            pieces.append(span.status_message)
        if span.inputs is not None:
            pieces.append(_flat(span.inputs))
        if span.outputs is not None:
            pieces.append(_flat(span.outputs))
    # An answer often stands on its generation, its chain and its root: its words are needed once.
    return spaced("\n".join(dict.fromkeys(pieces)))


def _flat(value: Any) -> str:
    """Strings and numbers in *value*, in order; without recursion, since it may be deep."""
    if isinstance(value, str):
        return value[:CLIP_CHARS]
    pieces: list[str] = []
    room = CLIP_CHARS
    stack = [value]
    while stack and room > 0:
        item = stack.pop()
        of = type(item)
        if of is str or of is int or of is float:
            piece = item if of is str else str(item)
            pieces.append(piece)
            room -= len(piece) + 1
        elif of is dict:
            stack += reversed(item.values())
        elif of is list or of is tuple:
            stack += reversed(item)
    return "\n".join(pieces)[:CLIP_CHARS]


def spaced(text: str) -> str:
    """Set the characters of unspaced scripts apart, so that each is a word; emoji are none."""
    return text if text.isascii() else _UNSPACED.sub(r" \1 ", _EMOJI.sub(" ", text))


def words(text: str) -> set[str]:
    """
    Give the words of *text*, folded.

    The plain reference of what SQLite's tokenizer does; the two agree but for rare scripts.
    """
    if text.isascii():
        return set(text.translate(_ASCII_FOLDED).split())
    return set("".join(map(_folded, spaced(text))).split())


@lru_cache(maxsize=4096)
def _folded(char: str) -> str:
    """A character without case and, if it is Latin, without accents; a space if words end at it."""
    lower = char.lower()
    plain = unicodedata.normalize("NFD", lower)
    return "".join(map(_kept, plain if plain[0].isascii() else lower))


def _kept(char: str) -> str:
    if ord(char) in _ACCENTS:
        return ""
    category = unicodedata.category(char)
    return char if category[0] in "LN" or category in ("Co", "Mn", "Mc") else " "


_ASCII_FOLDED = {code: _folded(chr(code)) for code in range(128)}


def check_words(found: Iterable[str]) -> list[str]:
    """
    Refuse a search for no word, or for too many.

    Raises:
        BadFilter: none, or over `MAX_WORDS`.
    """
    wanted = sorted(set(found))
    if not wanted:
        raise BadFilter("text", "there is no word in it; search for letters or digits")
    if len(wanted) > MAX_WORDS:
        raise BadFilter("text", f"it has {len(wanted)} words; search for at most {MAX_WORDS}")
    return wanted
