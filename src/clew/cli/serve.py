"""`clew serve`: a whole server in one process."""

from __future__ import annotations

import logging
import time
from contextlib import closing
from typing import Annotated

import typer
from rich.text import Text

from clew import config
from clew.cli.out import errors
from clew.errors import ConfigError
from clew.server.hosts import is_loopback
from clew.server.settings import ServerSettings
from clew.store import open_store
from clew.store.url import shown


def serve(
    store: Annotated[
        str | None,
        typer.Option(
            help="Where traces are kept: sqlite:///file.db, postgresql://host/db, clickhouse://host:8123/db, memory:"
        ),
    ] = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on. Loopback unless told otherwise.")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on; 0 takes a free one.")] = None,
    mode: Annotated[
        str, typer.Option(help="develop keeps every trace; product (sampling) is not in this version.")
    ] = "develop",
) -> None:
    """Take spans in, keep them, and show them on a page."""
    # Here and not above: FastAPI takes a third of a second, which `clew traces` need not wait for.
    from clew.server.run import first_admin_key, listen, refuse_open_bind, run

    _refuse_other_modes(mode)
    logging.basicConfig(level=logging.WARNING, format="clew: %(levelname)s %(name)s: %(message)s")
    settings = ServerSettings.read(host=host, port=port)
    store_url = config.STORE.read() if store is None else store
    began = time.monotonic()
    # The port first, so that a second server does not even touch the store.
    with (
        closing(listen(settings.host, settings.port)) as listener,
        closing(open_store(store_url, text_search=config.TEXT_SEARCH.read())) as opened,
    ):
        refuse_open_bind(opened, settings)
        new_key = first_admin_key(opened, settings)
        url = page_url(settings.host, listener.getsockname()[1])
        run(opened, settings, listener, on_ready=lambda: _banner(url, store_url, settings, new_key))
    lasted_s = time.monotonic() - began
    errors().print(f"clew: stopped after {lasted_s:.0f} s; everything accepted is stored", style="bright_black")


def page_url(host: str, port: int) -> str:
    """Give the address under which a browser on this machine finds the server."""
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  (compared, not bound)
    shown = f"[{local}]" if ":" in local else local
    return f"http://{shown}:{port}"


def _refuse_other_modes(mode: str) -> None:
    if mode == "product":
        raise ConfigError("--mode", "product (sampling) is not in this version; develop keeps every trace")
    if mode != "develop":
        raise ConfigError("--mode", f"{mode!r} is neither develop nor product")


def _banner(url: str, store_url: str, settings: ServerSettings, new_key: str | None) -> None:
    keyless = "not needed to send from this machine" if is_loopback(settings.host) else "needed to send and to read"
    rows = (
        ("page", Text(url, style=f"bold underline link {url}")),
        ("store", Text(shown(store_url))),
        ("spans", Text(f"CLEW_ENDPOINT={url}, or OTLP/HTTP protobuf to {url}/v1/traces")),
        ("keys", Text(keyless)),
        ("log in", _login_hint(url, settings, new_key)),
    )
    console = errors()
    console.print(Text("\n  clew", style="bold green"))
    for name, text in rows:
        # Lines, not a table: a terminal must not break a link.
        console.print(Text.assemble((f"  {name:<8}", "bright_black"), text), soft_wrap=True)
    console.print()


def _login_hint(url: str, settings: ServerSettings, new_key: str | None) -> Text:
    if new_key is not None:
        link = f"{url}/#key={new_key}"
        shown_once = ("\n          this key is shown only now; keep it", "yellow")
        return Text.assemble(Text(link, style=f"bold yellow link {link}"), shown_once)
    if settings.admin_key:
        return Text("with the key in CLEW_ADMIN_KEY")
    return Text("with the admin key of the first start; lost it? `clew keys create --scope admin`")
