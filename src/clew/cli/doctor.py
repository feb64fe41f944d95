"""`clew doctor`: checks each part on its own and says what to do about what is wrong."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from email.utils import parsedate_to_datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import typer
from rich.text import Text

from clew import config
from clew.cli.out import JsonOption, out, print_json
from clew.cli.source import HttpSource
from clew.cli.text import one_line
from clew.errors import ClewError
from clew.query import list_traces, parse_trace_query
from clew.sdk.spool import inspect
from clew.sdk.spool_folder import folder_of
from clew.store import open_store

SQLITE_SAFE = (3, 51, 3)
"""Earlier versions can corrupt a write-ahead log when it is reset."""
LOW_DISK_BYTES, NO_DISK_BYTES = 1 << 30, 64 << 20
SKEW_WARN_S = 5.0
TEST_PROJECT = "clew-doctor"
MARKS = {"ok": ("ok  ", "green"), "warn": ("warn", "yellow"), "fail": ("fail", "bold red")}


class Finding(NamedTuple):
    """One line of the report."""

    level: str
    """ok, warn or fail."""
    what: str
    says: str
    advice: str = ""


def doctor(
    store: Annotated[str | None, typer.Option(help="Check this store straight, instead of a server.")] = None,
    url: Annotated[str | None, typer.Option(help="The server to check; CLEW_URL if not given.")] = None,
    key: Annotated[str | None, typer.Option(help="The key to check; CLEW_API_KEY if not given.")] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Check settings, server, key, store, its database, disk and clock."""
    found = []
    for finding in examine(store, url, key):
        found.append(finding)
        if not as_json:
            _print(finding)
    healthy = all(finding.level != "fail" for finding in found)
    if as_json:
        print_json({"healthy": healthy, "findings": [finding._asdict() for finding in found]})
    raise typer.Exit(0 if healthy else 1)


def _print(finding: Finding) -> None:
    mark, style = MARKS[finding.level]
    line = Text.assemble((mark, style), "  ", (f"{finding.what:<12}", "bold"), one_line(finding.says, 300))
    if finding.advice:
        line.append(f"\n                {finding.advice}", "bright_black")
    out().print(line, soft_wrap=True)


def examine(store: str | None, url: str | None, key: str | None) -> Iterator[Finding]:
    """Give one finding for each check; a check that cannot be made says so."""
    yield settings()
    yield sqlite_version()
    yield spool()
    if store is not None:
        yield from store_findings(store)
        return
    try:
        source = HttpSource(url or config.URL.read(), key or config.API_KEY.read())
    except ClewError as error:
        yield Finding("fail", "server", str(error))
        return
    yield from server_findings(source, bool(key or config.API_KEY.read()))


def settings() -> Finding:
    """Check that every CLEW_* variable is known and can be read."""
    problems: list[str] = []
    for setting in config.SETTINGS:
        try:
            setting.read()
        except ClewError as error:
            problems.append(str(error))
    if problems:
        return Finding("fail", "settings", "; ".join(problems), "correct or unset these variables")
    known = {setting.name for setting in config.SETTINGS}
    strangers = sorted(name for name in os.environ if name.startswith("CLEW_") and name not in known)
    if strangers:
        return Finding("warn", "settings", f"{', '.join(strangers)}: no such setting", "see the list of settings")
    return Finding("ok", "settings", f"Python {sys.version.split()[0]}; all of CLEW_* can be read")


def spool() -> Finding:
    """Say what the SDK keeps on this machine for the endpoint of this environment, because it could not be sent."""
    try:
        folder = folder_of(config.SPOOL.read() or None, config.ENDPOINT.read(), config.API_KEY.read())
    except ClewError as error:
        return Finding("fail", "spool", str(error))
    if folder is None:
        return Finding("ok", "spool", "off: what cannot be sent waits in memory")
    try:
        kept = inspect(folder)
    except OSError as error:
        return Finding("fail", "spool", f"{folder}: {error.strerror}", "it cannot be read; see CLEW_SPOOL")
    says = f"{folder}: {kept.spans:,} spans in {kept.records:,} batches wait, {kept.bytes:,} bytes"
    if kept.damaged:
        return Finding("warn", "spool", f"{says}; {kept.damaged:,} damaged", "damaged batches are lost when it is sent")
    if kept.records:
        return Finding("warn", "spool", says, "they are sent by the next process that traces to this endpoint")
    return Finding("ok", "spool", f"{folder}: nothing waits")


def sqlite_version() -> Finding:
    """Check that the SQLite that Clew uses has no known way to lose data."""
    import apsw

    version = apsw.sqlite_lib_version()
    if tuple(int(part) for part in version.split(".")[:3]) < SQLITE_SAFE:
        return Finding("fail", "sqlite", f"{version} can corrupt a store", "pip install --upgrade apsw")
    return Finding("ok", "sqlite", version)


def store_findings(store: str) -> Iterator[Finding]:
    """Check a store that lies on this machine: opened read-only, nothing is changed."""
    try:
        with closing(open_store(store, read_only=True)) as opened:
            stats = opened.stats()
            list_traces(opened, parse_trace_query([("limit", "1")]))
    except ClewError as error:
        yield Finding("fail", "store", str(error), "give --store a store that `clew serve` has made")
        if store.startswith("clickhouse://"):
            yield from clickhouse_findings(store)
        return
    yield Finding("ok", "store", f"readable; {_figures(stats)}")
    if store.startswith("sqlite:///"):
        yield disk(Path(store[len("sqlite:///") :]).absolute().parent)
    if store.startswith(("postgresql://", "postgres://")):
        yield from postgres_findings(store)
    if store.startswith("clickhouse://"):
        yield from clickhouse_findings(store)


def clickhouse_findings(store: str) -> Iterator[Finding]:
    """Check each server of a ClickHouse store, and its cluster; also while some of it is away."""
    try:
        from clew.store.clickhouse import health

        for found in health.examine(store):
            yield Finding(*found)
    except (ClewError, ImportError) as error:
        yield Finding("fail", "clickhouse", str(error))


def postgres_findings(store: str) -> Iterator[Finding]:
    """Check what of PostgreSQL's settings Clew's promises stand on."""
    from clew.store.postgres import health

    try:
        found = health.examine(store)
    except ClewError as error:
        yield Finding("fail", "postgresql", str(error))
        return
    if found.not_durable:
        names = ", ".join(f"{name} = off" for name in found.not_durable)
        yield Finding(
            "fail", "durability", f"{names}: what was acknowledged can be lost", "set them on, and restart it"
        )
    else:
        yield Finding("ok", "durability", "what is acknowledged is on PostgreSQL's disk")
    says = f"{found.connections_left} of {found.max_connections} are free"
    if found.connections_left < health.CONNECTIONS_OF_A_SERVER:
        yield Finding("warn", "connections", says, "raise max_connections: a `clew serve` takes up to 10")
    else:
        yield Finding("ok", "connections", says)


def disk(folder: Path) -> Finding:
    """Check that the store has room to grow."""
    free = shutil.disk_usage(folder).free
    says = f"{free / (1 << 30):.1f} GiB free"
    if free < NO_DISK_BYTES:
        return Finding("fail", "disk", says, "free some space: a full disk means that nothing more is accepted")
    if free < LOW_DISK_BYTES:
        return Finding("warn", "disk", says, "free some space soon")
    return Finding("ok", "disk", says)


def server_findings(source: HttpSource, has_key: bool) -> Iterator[Finding]:
    """Check a server from outside, as a client sees it."""
    try:
        ready = source.send("GET", "/readyz")
    except ClewError as error:
        yield Finding("fail", "server", str(error))
        return
    if ready.status != 200:
        yield Finding("fail", "server", f"{source.url} is up but not ready: {ready.status}", "look at its log")
        return
    yield Finding("ok", "server", f"{source.url} is ready")
    yield clock(ready.headers.get("date", ""), time.time())
    for check in (_scope_and_trip if has_key else _keyless, _server_store):
        yield from _caught(check, source)


def clock(date_header: str, now_s: float) -> Finding:
    """Compare the server's clock with ours: spans carry their clients' times."""
    try:
        # The header is cut to whole seconds, so half of one is its error.
        skew_s = parsedate_to_datetime(date_header).timestamp() + 0.5 - now_s
    except (ValueError, TypeError):
        return Finding("warn", "clock", "the server does not say its time", "is something in between?")
    if abs(skew_s) > SKEW_WARN_S:
        return Finding(
            "warn", "clock", f"the server's clock is {skew_s:+.0f} s from ours", "set both by NTP, or traces look torn"
        )
    return Finding("ok", "clock", "agrees with the server's")


def _caught(check: Callable[[HttpSource], Iterator[Finding]], source: HttpSource) -> Iterator[Finding]:
    try:
        yield from check(source)
    except (ClewError, msgspec.DecodeError, KeyError) as error:
        yield Finding("fail", "server", str(error))


def _keyless(source: HttpSource) -> Iterator[Finding]:
    answer = source.send("POST", "/api/v1/spans", b'{"spans":[]}', "application/json")
    if answer.status == 200:
        yield Finding("ok", "ingest", "spans are taken without a key, from this machine")
    else:
        yield Finding("fail", "ingest", f"an empty batch was answered {answer.status}", "set CLEW_API_KEY")
    yield Finding("warn", "key", "no key given, so reading is not checked", "set CLEW_API_KEY, or give --key")


def _scope_and_trip(source: HttpSource) -> Iterator[Finding]:
    answer = source.send("GET", "/api/v1/session")
    if answer.status == 401:
        yield Finding("fail", "key", "the server does not take this key", "`clew keys create` makes one")
        return
    if answer.status == 403:
        yield Finding("ok", "key", "accepted; it may write, not read")
        sent = source.send("POST", "/api/v1/spans", b'{"spans":[]}', "application/json")
        level = "ok" if sent.status == 200 else "fail"
        yield Finding(level, "ingest", f"an empty batch was answered {sent.status}")
        return
    scope = msgspec.json.decode(answer.body)["scope"]
    yield Finding("ok", "key", f"accepted; its scope is {scope}")
    if scope == "admin":
        yield _round_trip(source)


def _round_trip(source: HttpSource) -> Finding:
    """Send one span to a project of its own, once a day, and read it back."""
    now_ns = time.time_ns()
    trace_id = sha256(f"clew doctor {now_ns // 86_400_000_000_000}".encode()).hexdigest()[:32]
    span = {"trace_id": trace_id, "span_id": trace_id[:16], "name": "clew doctor", "start_ns": now_ns, "end_ns": now_ns}
    began = time.perf_counter()
    sent = source.send(
        "POST", f"/api/v1/spans?project={TEST_PROJECT}", msgspec.json.encode({"spans": [span]}), "application/json"
    )
    if sent.status != 200:
        return Finding("fail", "round trip", f"a test span was answered {sent.status}", "look at the server's log")
    source.trace(TEST_PROJECT, trace_id)
    took_ms = (time.perf_counter() - began) * 1_000
    return Finding("ok", "round trip", f"a test span was stored and read back in {took_ms:.0f} ms")


def _server_store(source: HttpSource) -> Iterator[Finding]:
    answer = source.send("GET", "/api/v1/admin/stats")
    if answer.status == 200:
        stats: dict[str, Any] = msgspec.json.decode(answer.body)
        yield Finding("ok", "store", _figures(stats["store"]))
        yield sdk_losses(stats.get("sdk_dropped", {}))


def sdk_losses(dropped: dict[str, int]) -> Finding:
    """Say what SDKs told the server that they lost, since it started."""
    if not dropped:
        return Finding("ok", "sdk losses", "none that a client has told of")
    causes = ", ".join(f"{cause} {count:,}" for cause, count in sorted(dropped.items()))
    return Finding(
        "warn",
        "sdk losses",
        f"clients lost {sum(dropped.values()):,}: {causes}",
        "see docs/reference/python.md, Losses",
    )


def _figures(stats: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_figure(value)}" for name, value in stats.items() if value is not None)


def _figure(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:,}" if isinstance(value, int) else str(value)
