"""
What the service knows: passages for its three stores.

- global knowledge: the language reference of the Python that runs this, from `pydoc_data.topics`;
- documents: Clew's own docs, one passage for each section;
- user messages: what a user asked before, in memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parents[2]
MAX_PASSAGE_CHARS = 900
MIN_PASSAGE_CHARS = 80
MAX_DOCUMENT_PASSAGES = 80

_RST_HEADING = re.compile(r"^(?P<title>\S[^\n]*)\n(?P<line>[*=\-~^])(?P=line){2,}$", re.MULTILINE)
_MD_HEADING = re.compile(r"^#{1,4} +(?P<title>[^\n]+)$", re.MULTILINE)
_BLANK_LINE = re.compile(r"\n\s*\n")


class Passage(NamedTuple):
    """One piece of text that can be found and quoted."""

    id: str
    title: str
    text: str


def global_knowledge() -> list[Passage]:
    """Every section of Python's language reference, once: topics overlap."""
    passages: dict[str, Passage] = {}
    for topic, text in topics.items():
        for number, (title, body) in enumerate(sections(text, _RST_HEADING)):
            passages.setdefault(body, Passage(f"python:{topic}#{number}", title, body))
    return list(passages.values())


def documents(root: Path = REPOSITORY) -> list[Passage]:
    """The sections of Clew's docs, the README first."""
    files = [root / "README.md", *sorted((root / "docs").rglob("*.md")), Path(__file__).with_name("README.md")]
    found = [
        Passage(f"{path.relative_to(root)}#{number}", title, body)
        for path in files
        if path.is_file()
        for number, (title, body) in enumerate(sections(path.read_text(encoding="utf-8"), _MD_HEADING))
    ]
    return found[:MAX_DOCUMENT_PASSAGES]


def sections(text: str, heading: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """Cut *text* at its headings: (title, body), without grammar, tables and code, cut to length."""
    headings = list(heading.finditer(text))
    ends = [following.start() for following in headings[1:]] + [len(text)]
    for here, end in zip(headings, ends, strict=True):
        paragraphs = _BLANK_LINE.split(text[here.end() : end])
        body = " ".join(" ".join(paragraph.split()) for paragraph in paragraphs if _is_prose(paragraph))
        if len(body) >= MIN_PASSAGE_CHARS:
            yield here["title"].strip(), shorten(body, MAX_PASSAGE_CHARS)


def shorten(text: str, limit_chars: int) -> str:
    """Cut *text* after the last sentence that fits; after the last word if none does."""
    if len(text) <= limit_chars:
        return text
    cut = text[:limit_chars]
    end = cut.rfind(". ")
    return cut[: end + 1] if end > limit_chars // 3 else cut.rsplit(" ", 1)[0] + "…"


def _is_prose(paragraph: str) -> bool:
    start = paragraph.lstrip()
    return bool(start) and "::=" not in paragraph and not start.startswith(("+--", "|", "```", "<", "!["))
