"""
What is being asked? Language, type and keywords of a question, and so how to search for an answer.

Pure and quick: no model, a few word lists. A real service may well put a model here; the trace
looks the same.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Strategy = Literal["dense", "keyword", "hybrid"]

# Words that tell a language apart and mean little by themselves: so they are no keywords either.
_COMMON_WORDS = {
    "en": "a an and are as at be but by can could do does for from how i if in into is it its me my no not of on or "
    "our should that the their them there these they this to use was we what when where which who why will with "
    "would you your",
    "de": "aber als am an auf aus bei das dass dem den der des die ein eine einem einen einer er es für gibt ich im in "
    "ist kann man mit nach nicht oder sich sie sind und von was wann warum welche wenn wer werden wie wird wo wofür "
    "wozu zu zum zur zwischen",
    "fr": "au aux avec ce ces comment dans de des du elle en entre est et fait il je la le les leur mais ne nous on ou "
    "où par pas peut pour pourquoi qu que quel quelle qui quoi sa se ses son sont sur un une vous",
    "es": "al como con cuando cómo cuál cuándo de del dónde el ella en entre es esta este hay la las lo los más no "
    "para pero por porque puede qué que se ser si sirve son su sus un una y yo",
}
_STOPWORDS = {language: frozenset(words.split()) for language, words in _COMMON_WORDS.items()}
_ALL_STOPWORDS = frozenset().union(*_STOPWORDS.values())

_SCRIPTS = (("ru", "\u0400", "\u04ff"), ("ja", "\u3040", "\u30ff"), ("zh", "\u4e00", "\u9fff"))
_WORD = re.compile(r"\w+")
_CODE = re.compile(r"`[^`]+`|\b\w+\(\)|__\w+__|\b[a-z]+_\w+\b|\b[A-Z][a-z]+[A-Z]\w+\b")
_TYPES = (
    ("comparison", r"\b(difference|differ|compare|versus|vs|unterschied|différence|diferencia)\b"),
    ("reason", r"\b(why|warum|weshalb|pourquoi|por qué)\b"),
    ("procedure", r"\b(how|wie|comment|cómo)\b"),
    ("definition", r"\b(what|which|who|was|welche|qu|que|quelle?|qué|cuál)\b"),
)


class Features(NamedTuple):
    """What was found out about a question, and the strategy that follows from it."""

    language: str
    """ISO 639-1; "en" when nothing tells."""
    question_type: str
    """comparison, reason, procedure, definition or other."""
    keywords: list[str]
    word_count: int
    strategy: Strategy
    why: str
    """One sentence: why this strategy."""


def classify(question: str, *, strategy: str = "auto", language: str = "auto") -> Features:
    """Look at *question*; what the caller fixed (anything but "auto") stays as it is."""
    words = _WORD.findall(question.lower())
    found = language_of(question) if language == "auto" else language
    chosen, why = _strategy(question, found) if strategy == "auto" else (strategy, "the caller asked for it")
    return Features(
        language=found,
        question_type=_question_type(question),
        keywords=keywords_of(question),
        word_count=len(words),
        strategy=chosen,  # type: ignore[arg-type]
        why=why,
    )


def language_of(text: str) -> str:
    """Tell the language by its script, else by which common words occur most; English if none do."""
    for language, first, last in _SCRIPTS:
        if any(first <= letter <= last for letter in text):
            return language
    words = _WORD.findall(text.lower())
    hits = {language: sum(word in common for word in words) for language, common in _STOPWORDS.items()}
    return max(hits, key=lambda language: hits[language])


def keywords_of(text: str) -> list[str]:
    """The words of *text* that carry meaning, in order, each once: lower case, plural "s" cut off."""
    words = (word for word in _WORD.findall(text.lower()) if word not in _ALL_STOPWORDS and len(word) > 1)
    return list(dict.fromkeys(_stem(word) for word in words))


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _question_type(question: str) -> str:
    return next((name for name, pattern in _TYPES if re.search(pattern, question.lower())), "other")


def _strategy(question: str, language: str) -> tuple[Strategy, str]:
    if language != "en":
        return "dense", f"the knowledge is English, the question is {language}: only meaning crosses languages"
    if _CODE.search(question) and len(keywords_of(question)) <= 2:
        return "keyword", "it asks for a name in code, which only an exact match finds"
    return "hybrid", "meaning and words together find the most"
