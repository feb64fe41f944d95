"""What of servers, shards and settings the promises of a store stand on, and what to do about what is wrong."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from clew.errors import ClewError
from clew.store.clickhouse.connect import Servers
from clew.store.clickhouse.schema import TABLES
from clew.store.clickhouse.tallies import text_of
from clew.store.clickhouse.target import Target, read_target
from clew.store.url import shown

OLDEST = (25, 8)
"""Earlier versions leave out rows of filters on newest traces: their skip indexes are not exact with FINAL."""

SKEW_WARN_S = 5.0
LOW_DISK_BYTES = 1 << 30

_WANTED = {"async_insert": "0", "insert_deduplicate": "1", "skip_unavailable_shards": "0"}


class Checked(NamedTuple):
    """One thing that was looked at."""

    level: str
    """ok, warn or fail."""
    what: str
    says: str
    advice: str = ""


def examine(url: str, *, now_s: Callable[[], float] = time.time) -> Iterator[Checked]:
    """
    Ask every server that *url* names, and one of them about its cluster. Raises nothing for what is away.

    Raises:
        ConfigError: the URL cannot be read.
    """
    target = read_target(url)
    answers: Target | None = None
    for host, port in target.hosts:
        alone = target._replace(hosts=((host, port),))
        servers = Servers(alone, shown(url))
        try:
            found = list(_server(servers, alone, now_s))
        except ClewError as error:
            yield Checked("fail", f"{host}:{port}", str(error), "start it, or take it out of the URL")
            continue
        finally:
            servers.close()
        answers = answers or alone
        yield from found
    if answers is not None and target.cluster:
        servers = Servers(answers, shown(url))
        try:
            yield from _cluster(servers, target)
        except ClewError as error:
            yield Checked("fail", "cluster", str(error))
        finally:
            servers.close()


def _server(servers: Servers, target: Target, now_s: Callable[[], float]) -> Iterator[Checked]:
    """Look at one server."""
    place = "{}:{}".format(*target.hosts[0])
    began_s = now_s()
    [(version_, at_ms)] = servers.rows("health_server")
    skew_s = at_ms / 1e3 - (began_s + now_s()) / 2
    version = text_of(version_)
    problems = [
        *_version(version),
        *_clock(skew_s),
        *_tables(servers, target),
        *_settings(servers),
        *_parts(servers),
        *_disk(servers),
        *_replicas(servers),
    ]
    yield from (each._replace(what=place) for each in problems)
    if not problems:
        yield Checked(
            "ok", place, f"ClickHouse {version}; tables, settings, parts, disk and clock are as they should be"
        )


def _version(version: str) -> Iterator[Checked]:
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if numbers < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        yield Checked(
            "fail", "", f"ClickHouse {version} can leave traces out of lists", f"upgrade to {oldest} or later"
        )


def _clock(skew_s: float) -> Iterator[Checked]:
    if abs(skew_s) > SKEW_WARN_S:
        says = f"its clock is {skew_s:+.0f} s from ours"
        yield Checked("warn", "", says, "set both by NTP: keep_days, and what is forgotten after days, go by it")


def _tables(servers: Servers, target: Target) -> Iterator[Checked]:
    rows = servers.rows("health_tables")
    there = {text_of(name) for name, _, _ in rows}
    missing = sorted(_names(target) - there)
    if missing:
        says = f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not there"
        yield Checked("fail", "", says, "start `clew serve` with this URL: it makes them on every host that it names")
    lazy = sorted(text_of(name) for name, is_kept, is_durable in rows if is_kept and not is_durable)
    if lazy:
        says = f"{', '.join(lazy)}: what was acknowledged can be lost with the power"
        advice = "ALTER TABLE ... MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1"
        yield Checked("fail", "", says, advice)


def _names(target: Target) -> set[str]:
    """Every table that a server holds."""
    return {*TABLES, *(f"{table}_local" for table in TABLES)} if target.cluster else set(TABLES)


def _settings(servers: Servers) -> Iterator[Checked]:
    found = {text_of(name): text_of(value) for name, value in servers.rows("health_settings")}
    if found.get("async_insert") == "1" and found.get("wait_for_async_insert") == "1":
        says = "async_insert = 1: inserts wait in a queue, and positions of a log may be given out twice"
        yield Checked("warn", "", says, "take the constraint on async_insert from this user's profile")
        return
    wrong = [f"{name} = {found[name]}" for name, value in _WANTED.items() if found.get(name, value) != value]
    if wrong:
        says = f"{', '.join(wrong)}: what was acknowledged can be lost, doubled or left out"
        yield Checked("fail", "", says, "a profile holds this; take its constraint from Clew's user")


def _parts(servers: Servers) -> Iterator[Checked]:
    for table, partition, count, limit in servers.rows("health_parts"):
        if 2 * count >= limit:
            says = (
                f"{count:,} parts in {text_of(table)}, partition {text_of(partition)}; at {limit:,} inserts are refused"
            )
            advice = (
                "merges are behind: fewer, larger writes (fewer servers of Clew), or faster disks; see system.merges"
            )
            yield Checked("warn", "", says, advice)


def _disk(servers: Servers) -> Iterator[Checked]:
    free = servers.value("health_disks")
    if free is not None and free < LOW_DISK_BYTES:
        yield Checked("warn", "", f"{free / (1 << 30):.1f} GiB free", "free some space soon, or add a disk")


def _replicas(servers: Servers) -> Iterator[Checked]:
    tables = sorted(text_of(table) for (table,) in servers.rows("health_replicas"))
    if tables:
        advice = "look whether its Keeper answers; SYSTEM RESTORE REPLICA mends one that lost its place there"
        yield Checked("fail", "", f"{', '.join(tables)}: read-only replicas", advice)


def _cluster(servers: Servers, target: Target) -> Iterator[Checked]:
    """Look at the shards, also those whose servers the URL does not name."""
    named = {"cluster": target.cluster}
    shards = {shard: ", ".join(map(text_of, places)) for shard, places in servers.rows("health_shards", named)}
    if not shards:
        says = f"there is no cluster {target.cluster!r} in the server's remote_servers"
        yield Checked("fail", "cluster", says, "add it there, or name another in the URL")
        return
    there = {shard for (shard,) in servers.rows("health_shards_there", named)}
    tables: dict[int, list[bytes]] = dict(servers.rows("health_shard_tables", named | {"database": target.database}))
    problems: list[Checked] = []
    for shard, places in shards.items():
        missing = sorted(_names(target) - {text_of(name) for name in tables.get(shard, ())})
        if shard not in there:
            says = f"shard {shard} ({places}) does not answer: questions and writes fail until it does"
            problems.append(Checked("fail", "cluster", says, "start it; nothing that was acknowledged is missing then"))
        elif missing:
            says = f"shard {shard} ({places}) has no {', '.join(missing)}"
            problems.append(
                Checked("fail", "cluster", says, "name its host in the URL, and start `clew serve` with it")
            )
    yield from problems or [Checked("ok", "cluster", f"{target.cluster}: all of {len(shards)} shards answer")]
