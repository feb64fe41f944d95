"""Each trace gets one verdict, the worst that holds, and a sentence that says why."""

import pytest

from clew.model import Flag, judge

NOTHING = {"worst_user_score": None, "response_chars": None, "confidence": None}


def test_a_users_low_score_comes_before_everything():
    verdict = judge(worst_user_score=(1, 5), response_chars=0, confidence=0.1)
    assert verdict == (Flag.USER_NEGATIVE, "a user scored it 1 of 5")


def test_an_empty_response_comes_before_low_confidence():
    verdict = judge(worst_user_score=(5, 5), response_chars=3, confidence=0.1)
    assert verdict == (Flag.EMPTY, "the response has 3 characters, under 50")


def test_low_confidence_comes_before_normal():
    verdict = judge(worst_user_score=None, response_chars=500, confidence=0.49)
    assert verdict == (Flag.LOW_CONFIDENCE, "the confidence is 0.49, under 0.5")


@pytest.mark.parametrize(
    ("known", "flag"),
    [
        ({"worst_user_score": (2, 5)}, Flag.USER_NEGATIVE),
        ({"worst_user_score": (2.01, 5)}, Flag.NORMAL),
        ({"worst_user_score": (0, 1)}, Flag.USER_NEGATIVE),
        ({"worst_user_score": (1, 1)}, Flag.NORMAL),
        ({"response_chars": 49}, Flag.EMPTY),
        ({"response_chars": 50}, Flag.NORMAL),
        ({"confidence": 0.5}, Flag.NORMAL),
        ({"confidence": 0.0}, Flag.LOW_CONFIDENCE),
    ],
)
def test_the_bounds_are_those_of_the_glossary(known, flag):
    assert judge(**{**NOTHING, **known}).flag is flag


def test_what_is_not_known_is_not_held_against_a_trace():
    """Many instrumentations capture no content: their traces are not empty answers."""
    assert judge(**NOTHING).flag is Flag.NORMAL
