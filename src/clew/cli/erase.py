"""`clew erase`: nothing is left of a user, a session or a trace, in the store and in this machine's spools."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated
from urllib.parse import quote, urlencode

import msgspec
import typer

from clew import config
from clew.cli.out import errors
from clew.cli.source import HttpSource, ServerRefused
from clew.errors import ClewError, ConfigError, StoreBusy
from clew.model.ids import trace_id_of
from clew.sdk.spool_erase import Mine, Spooled, erase_spooled
from clew.sdk.spool_folder import spool_root
from clew.store import open_store
from clew.store.protocol import Erased, Whom


class ScrubPending(ClewError):
    """All is erased, but some bytes of it are still in the files. Exit status 1."""


class SpoolUnreadable(ClewError):
    """A spool cannot be read or written. Exit status 1."""


def erase(
    *,
    user: Annotated[
        str | None, typer.Option("--user", help="Every trace of this user, or with a span of theirs.")
    ] = None,
    session: Annotated[str | None, typer.Option("--session", help="Every trace of this session.")] = None,
    trace: Annotated[str | None, typer.Option("--trace", help="This trace, by its id.")] = None,
    project: Annotated[str | None, typer.Option("--project", help="Of this project; of all if not given.")] = None,
    store: Annotated[str | None, typer.Option("--store", help="The store; CLEW_STORE if not given.")] = None,
    url: Annotated[str | None, typer.Option("--url", help="Ask this server instead of opening the store.")] = None,
    key: Annotated[
        str | None, typer.Option("--key", help="An admin key, with --url; CLEW_API_KEY if not given.")
    ] = None,
    later: Annotated[
        bool, typer.Option("--later", help="Leave cleaning the files, which writes wait for, to the next round.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase traces, so that nothing is left of them."""
    whom = _whom(user, session, trace, project)
    _confirm(whom, yes=yes)
    if url is None:
        erased, scrubbed = _in_store(config.STORE.read() if store is None else store, whom, later=later)
    else:
        erased, scrubbed = _on_server(HttpSource(url, config.API_KEY.read() if key is None else key), whom, later=later)
    told = f"{erased.traces:,} traces ({erased.spans:,} spans) erased"
    errors().print(
        told + (f" in {', '.join(erased.projects)}" if erased.projects else ""), markup=False, soft_wrap=True
    )
    _tell_spool(whom, erased)
    if not scrubbed and not later:
        raise ScrubPending("somebody still reads the old files; they are cleaned by `clew retention`, or say it again")


def _whom(user: str | None, session: str | None, trace: str | None, project: str | None) -> Whom:
    given = [value for value in (user, session, trace) if value is not None]
    if len(given) != 1 or not given[0]:
        raise ConfigError("erase", "give one of --user, --session and --trace")
    trace_id = None if trace is None else trace_id_of(trace)
    return Whom(user_id=user, session_id=session, trace_id=trace_id, project=project or None)


def _confirm(whom: Whom, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError("--yes", "nobody can be asked here; say --yes to erase")
    what = next(f"{name} {value}" for name, value in _named(whom).items() if value)
    typer.confirm(f"Erase {what} in {whom.project or 'every project'} for ever?", abort=True)


def _named(whom: Whom) -> dict[str, str | None]:
    return {"user": whom.user_id, "session": whom.session_id, "trace": whom.trace_id}


def _in_store(url: str, whom: Whom, *, later: bool) -> tuple[Erased, bool]:
    with closing(open_store(url, text_search=config.TEXT_SEARCH.read())) as store:
        erased = store.erase(whom)
        if later:
            return erased, False
        try:
            store.scrub()
        except StoreBusy:
            return erased, False
        return erased, True


class _Answer(msgspec.Struct):
    traces: int
    spans: int
    projects: list[str]
    trace_ids: list[str]
    scrubbed: bool


def _on_server(server: HttpSource, whom: Whom, *, later: bool) -> tuple[Erased, bool]:
    asked = {"user_id": whom.user_id, "session_id": whom.session_id, "project": whom.project}
    params = {name: value for name, value in asked.items() if value} | ({"scrub": "later"} if later else {})
    path = "/api/v1/admin/traces" + (f"/{quote(whom.trace_id)}" if whom.trace_id else "")
    answer = server.send("DELETE", f"{path}?{urlencode(params)}" if params else path)
    if answer.status >= 400:
        raise ServerRefused(answer.status, answer.body.decode(errors="replace")[:300])
    said = msgspec.json.decode(answer.body, type=_Answer)
    return Erased(said.traces, said.spans, said.projects, said.trace_ids), said.scrubbed


def _tell_spool(whom: Whom, erased: Erased) -> None:
    root = spool_root()
    if root is None or not root.is_dir():
        errors().print("no spool lies on this machine; one on another keeps its own", style="bright_black")
        return
    ids = [*erased.trace_ids, *([whom.trace_id] if whom.trace_id else [])]
    found = _search(root, Mine(whom.user_id, whom.session_id, ids))
    told = f"{found.spans:,} spans and scores taken out of {found.segments:,} files in {root}"
    errors().print(told, markup=False, soft_wrap=True)
    if found.held:
        told = f"{found.held:,} files there belong to processes that run; stop them, or let them send, and say it again"
        errors().print(told, style="yellow", markup=False, soft_wrap=True)


def _search(root: Path, mine: Mine) -> Spooled:
    try:
        return erase_spooled(root, mine)
    except OSError as error:
        raise SpoolUnreadable(f"{error.filename or root}: {error.strerror}; the store is erased, this is not") from None
