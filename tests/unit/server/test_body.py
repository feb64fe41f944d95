"""Bodies, bounded while they stream."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from clew.errors import StoreBusy, TooLarge, UnsupportedMedia
from clew.server import body
from clew.server.body import Budget, HeldBody, media_type
from clew.server.problem import ClientGone, TooSlow


def request(chunks: list[bytes], *, gone: bool = False, **headers: str) -> Request:
    """Give a request whose body comes in *chunks*, after which the client may be gone."""
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.disconnect"} if gone else {"type": "http.request", "body": b"", "more_body": False})
    left = iter(messages)

    async def receive():
        return next(left)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": raw}, receive)


async def test_a_body_is_whole_and_its_room_is_given_back():
    """The budget counts what is held now, not what ever was."""
    budget = Budget(100)

    async with HeldBody(request([b"ab", b"", b"cd"]), budget, limit_bytes=4) as whole:
        assert whole == b"abcd"
        assert budget.held_bytes == 4

    assert budget.held_bytes == 0


@pytest.mark.parametrize(
    ("made", "refused"),
    [
        (lambda: request([b"12345"], content_length="5"), TooLarge),
        (lambda: request([b"123", b"45"]), TooLarge),
        (lambda: request([b"1"], gone=True), ClientGone),
    ],
)
async def test_a_refused_body_gives_its_room_back(made, refused):
    """A leak here would end in 503 for everybody."""
    budget = Budget(100)

    with pytest.raises(refused):
        async with HeldBody(made(), budget, limit_bytes=4):
            pytest.fail("the body was taken")

    assert budget.held_bytes == 0


async def test_all_bodies_together_are_bounded():
    """A thousand clients with a body each must not fill the memory."""
    budget = Budget(5)

    async with HeldBody(request([b"123"]), budget, limit_bytes=4):
        with pytest.raises(StoreBusy):
            async with HeldBody(request([b"456"]), budget, limit_bytes=4):
                pytest.fail("the body was taken")

        assert budget.held_bytes == 3


async def test_a_body_that_never_ends_is_given_up(monkeypatch):
    """A client that sends one byte a minute holds a place for nothing."""
    monkeypatch.setattr(body, "READ_TIMEOUT_S", 0.01)

    async def receive():
        import anyio

        await anyio.sleep_forever()

    slow = Request({"type": "http", "method": "POST", "path": "/", "headers": []}, receive)

    with pytest.raises(TooSlow):
        async with HeldBody(slow, Budget(5), limit_bytes=4):
            pytest.fail("the body was taken")


@pytest.mark.parametrize("given", ["", "text/plain", "application/jsonx", "application/x-www-form-urlencoded"])
def test_an_unknown_content_type_is_refused(given):
    """Guessing would store what nobody meant; and a form can be posted by any page."""
    with pytest.raises(UnsupportedMedia, match="application/json"):
        media_type(request([], content_type=given), ("application/json",))


def test_a_content_type_may_have_parameters():
    """Many clients name a charset."""
    assert media_type(request([], content_type="Application/JSON; charset=utf-8"), ("application/json",))
