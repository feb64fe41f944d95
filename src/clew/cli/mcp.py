"""`clew mcp`: the questions to the traces and the graph, for agents."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import anyio
import typer

from clew import config
from clew.cli.out import errors
from clew.cli.source import open_source
from clew.errors import ClewError, ConfigError
from clew.server.hosts import is_loopback

if TYPE_CHECKING:
    from clew.mcp import Asker

PATH = "/mcp"


class NeedsMcp(ClewError):
    """The extra `clew[mcp]` is not installed. Exit status 1."""


def mcp(
    *,
    store: Annotated[
        str | None, typer.Option("--store", help="Read this store straight, such as sqlite:///clew.db, with no server.")
    ] = None,
    url: Annotated[str | None, typer.Option("--url", help="The server to ask; CLEW_URL if not given.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="An admin or read key; CLEW_API_KEY if not given.")] = None,
    project: Annotated[str, typer.Option("--project", help="The project to read.")] = "",
    http: Annotated[
        str, typer.Option("--http", metavar="HOST:PORT", help="Serve over HTTP at /mcp; over stdio if not given.")
    ] = "",
) -> None:
    """Serve the questions to traces and graph to agents (Model Context Protocol), read-only."""
    try:
        from clew.mcp import build
    except ModuleNotFoundError as error:
        raise NeedsMcp(f"`clew mcp` needs more: pip install 'clew[mcp]' (missing: {error.name})") from None

    asked = config.URL.read() if url is None else url
    own_key = config.API_KEY.read() if key is None else key

    def open_asker(given_key: str) -> Asker:
        return open_source(store, asked, given_key or own_key)

    with closing(open_asker("")):
        pass  # What is wrong with the store or the URL is said now, and not to the agent.
    if not http:
        anyio.run(build(open_asker, project=project).run_stdio_async)
        return
    import uvicorn

    from clew.server.run import listen

    host, port = _address(http)
    open_to_others = not is_loopback(host)
    if open_to_others and store is not None:
        raise ConfigError("--http", "a store has no keys to check; give --url, or listen on 127.0.0.1")
    if open_to_others:
        own_key = ""  # Whoever asks from another machine shows a key of their own.
    with closing(listen(host, port)) as listener:
        port = listener.getsockname()[1]
        names = tuple(f"{name}:{port}" for name in dict.fromkeys((host, "127.0.0.1", "localhost")))
        server = build(open_asker, project=project, allowed_hosts=names, needs_key=open_to_others)
        errors().print(f"clew: MCP at http://{host}:{port}{PATH}", soft_wrap=True)
        running = uvicorn.Config(server.streamable_http_app(), log_level="warning", timeout_graceful_shutdown=2)
        uvicorn.Server(running).run(sockets=[listener])


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:
        raise ConfigError("--http", f"{text!r} is not HOST:PORT, such as 127.0.0.1:4320")
    return host.strip("[]"), int(port)
