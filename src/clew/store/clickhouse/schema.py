"""The tables as a server is told to make them: plain, sharded, replicated. Pure."""

from __future__ import annotations

import re
from importlib.resources import files

from clew.store.clickhouse.target import Target

VERSION = 1
"""Of the tables. Grows when an older Clew could no longer use them."""

TABLES = (
    "clew_pieces",
    "clew_traces",
    "clew_due",
    "clew_log",
    "clew_suggestions",
    "clew_leads",
    "clew_keys",
    "clew_facts",
)

# Acknowledged means on the disk: ClickHouse writes a part and leaves it to the system when it gets there. It keeps
# the parts from before a merge for eight minutes in place of a sync of the new one; what was erased is in them.
_OLD_PARTS_S = 60
_DURABLE = (
    "fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1, "
    f"old_parts_lifetime = {_OLD_PARTS_S}"
)
_GRANULES = {"clew_pieces": ", index_granularity = 128", "clew_traces": ", index_granularity = 1024"}
"""Rows that are read for one: some kilobytes each, so fewer than ClickHouse's 8,192."""

_WINDOW = 10_000
"""So many inserts back the server knows which position of a log, or which term, is taken."""

_BY_TOKEN = ("clew_log", "clew_leads")

_PART = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_SHARD_BY = re.compile(r"^-- shard by: (.+)$", re.MULTILINE)
_ENGINE = re.compile(r"ENGINE = (\w*MergeTree)\((\w*)\)")
_BY_DAY = ("clew_pieces", "clew_traces")


def statements(target: Target) -> list[str]:
    """Give what makes all tables on one server, in order; those that are there already stay."""
    text = files("clew.store.clickhouse").joinpath("schema.sql").read_text(encoding="utf-8")
    parts = _PART.split(text)
    made: list[str] = []
    for table, body in zip(parts[1::2], parts[2::2], strict=True):
        made += _of_table(target, table, body)
    return made


def _of_table(target: Target, table: str, body: str) -> list[str]:
    sharded = _SHARD_BY.search(body)
    shard_by = sharded.group(1) if sharded else "0"
    plain = "\n".join(line for line in body.strip().rstrip(";").splitlines() if not line.startswith("--"))
    plain = _with_engine(target, table, plain)
    if target.keep_days is not None and table in _BY_DAY:
        plain += f"\nTTL day + INTERVAL {target.keep_days} DAY DELETE"
    local = f"{plain}\nSETTINGS {_settings(target, table)}"
    if not target.cluster:
        return [local]
    over = f"Distributed('{target.cluster}', '{target.database}', '{table}_local', {shard_by})"
    return [
        local.replace(f"EXISTS {table} ", f"EXISTS {table}_local ", 1),
        f"CREATE TABLE IF NOT EXISTS {table} AS {table}_local ENGINE = {over}",
    ]


def _with_engine(target: Target, table: str, statement: str) -> str:
    if not target.replicated:
        return statement
    path = f"'/clickhouse/tables/{{shard}}/{target.database}/{table}', '{{replica}}'"

    def replicated(found: re.Match[str]) -> str:
        arguments = f"{path}, {found.group(2)}" if found.group(2) else path
        return f"ENGINE = Replicated{found.group(1)}({arguments})"

    return _ENGINE.sub(replicated, statement)


def _settings(target: Target, table: str) -> str:
    settings = f"{_DURABLE}{_GRANULES.get(table, '')}"
    if table in _BY_DAY and target.keep_days is not None:
        settings += ", ttl_only_drop_parts = 1"
    if table in _BY_TOKEN:
        window = "replicated_deduplication_window" if target.replicated else "non_replicated_deduplication_window"
        settings += f", {window} = {_WINDOW}"
    return settings
