"""
The page: the files of `clew/ui`, read once at start and served from memory by their exact names.

No path is ever made from a URL, so none can lead out of the folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from clew.server.auth import Caller
from clew.server.problem import NotFound

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}
"""What is served at all, and as what: no guessing, and nothing that is not listed."""


UI_FOLDER = Path(__file__).parents[1] / "ui"


class Asset(NamedTuple):
    """One file of the page."""

    body: bytes
    media_type: str
    etag: str


class Page:
    """All files of the page, by their path below `/ui/`."""

    def __init__(self, folder: Path = UI_FOLDER) -> None:
        self._assets = dict(_read(folder))

    async def index(self, request: Request, _: Caller) -> Response:
        """The page itself."""
        return self._answer(request, "index.html")

    async def asset(self, request: Request, _: Caller) -> Response:
        """A script, a style or a picture of the page."""
        return self._answer(request, request.path_params["path"])

    def _answer(self, request: Request, name: str) -> Response:
        asset = self._assets.get(name)
        if asset is None:
            raise NotFound("the page has no such file")
        # Asked for anew each time, and answered with 304: an upgrade is never half in a cache.
        headers = {"etag": asset.etag, "cache-control": "no-cache"}
        if asset.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(asset.body, headers=headers, media_type=asset.media_type)


def _read(folder: Path) -> Iterator[tuple[str, Asset]]:
    for path in sorted(folder.rglob("*")):
        media_type = MEDIA_TYPES.get(path.suffix)
        if media_type is not None and path.is_file():
            body = path.read_bytes()
            etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
            yield path.relative_to(folder).as_posix(), Asset(body, media_type, etag)
