"""The page's files, by exact names."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from clew.server.auth import ANYBODY
from clew.server.page import Page
from clew.server.problem import NotFound


def asked(path: str, etag: str = "") -> Request:
    """Give a request for the file at *path*."""
    headers = [(b"if-none-match", etag.encode())] if etag else []
    return Request({"type": "http", "method": "GET", "path": "/", "headers": headers, "path_params": {"path": path}})


@pytest.fixture
def page(tmp_path):
    """Give a page with a script, beside a secret that is no part of it."""
    ui = tmp_path / "ui"
    (ui / "marks").mkdir(parents=True)
    (ui / "index.html").write_text("<!doctype html>")
    (ui / "marks" / "bar.js").write_text("export {};")
    (ui / ".env.js.bak").write_text("no")
    (tmp_path / "secret.txt").write_text("secret")
    return Page(ui)


async def test_a_script_is_served_as_one(page):
    """With nosniff, a module of another type does not run."""
    response = await page.asset(asked("marks/bar.js"), ANYBODY)

    assert response.body == b"export {};"
    assert response.headers["content-type"] == "text/javascript; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"


async def test_a_file_that_is_known_is_not_sent_again(page):
    """The browser asks each time, and mostly gets no body."""
    etag = (await page.index(asked(""), ANYBODY)).headers["etag"]

    response = await page.index(asked("", etag), ANYBODY)

    assert (response.status_code, response.body) == (304, b"")


@pytest.mark.parametrize(
    "path",
    [
        "../secret.txt",
        "marks/../../secret.txt",
        "/etc/passwd",
        "%2e%2e/secret.txt",
        "",
        ".env.js.bak",
        "marks",
        "marks\\bar.js",
    ],
)
async def test_nothing_else_is_served(page, path):
    """Names are looked up, never joined to a folder."""
    with pytest.raises(NotFound):
        await page.asset(asked(path), ANYBODY)
