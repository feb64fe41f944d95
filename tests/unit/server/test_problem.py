"""Errors as HTTP answers."""

from __future__ import annotations

import msgspec
import pytest
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st

from clew import errors
from clew.errors import ClewError, SchemaTooNew, StoreBusy, TooLarge
from clew.server.problem import STATUS, TooSlow, answer, rpc_status, status_of


@pytest.mark.parametrize(
    "error", [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, ClewError)]
)
def test_every_error_of_ours_has_a_status(error):
    """An error without one would be a 500 that blames the server."""
    assert error is ClewError or any(known in STATUS for known in error.__mro__)


def test_what_nobody_foresaw_is_not_told_to_the_client():
    """An exception's text can hold a path, a key or a prompt."""
    response = answer(RuntimeError("secret"))

    assert response.status_code == 500
    assert b"secret" not in response.body


def test_over_capacity_says_when_to_come_back():
    """OpenTelemetry's exporters retry a 503, and wait as long as this says."""
    response = answer(StoreBusy("full"))

    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"


def test_a_body_that_is_too_large_keeps_its_connection():
    """Closing it while the client still sends would reset it, and the client would never read the 413."""
    assert "connection" not in answer(TooLarge("the body", limit_bytes=5)).headers
    assert answer(TooSlow("late")).headers["connection"] == "close"


def test_a_newer_store_is_an_unavailable_one():
    """A subclass is answered as its parent."""
    assert status_of(SchemaTooNew(found=9, known=1)) == 503


def test_json_says_what_and_why():
    """The page and the command line read both."""
    assert msgspec.json.decode(answer(StoreBusy("full \ud800")).body) == {
        "error": {"type": "StoreBusy", "message": "full ?"}
    }


@given(st.integers(0, 2**31 - 1), st.text(st.characters(codec="utf-8")))
def test_the_status_that_we_write_by_hand_is_the_one_that_google_reads(code, message):
    """Proved against Google's own decoder."""
    status = Status.FromString(rpc_status(code, message))

    assert (status.code, status.message) == (code, message)
