"""
Every `CLEW_*` setting: name, type, default, one sentence.

This table is the whole list; `docs/reference/settings.md` is checked against it. An argument
of `clew.configure` or a flag of `clew serve` wins over the environment.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from clew.errors import ConfigError

T = TypeVar("T")


class Setting(Generic[T]):
    """One setting: reads its environment variable, or gives its default."""

    def __init__(self, name: str, parse: Callable[[str], T], default: T, doc: str) -> None:
        self.name = name
        self.parse = parse
        self.default = default
        self.doc = doc

    def read(self, environ: Mapping[str, str] = os.environ) -> T:
        """
        Give the setting's value.

        Raises:
            ConfigError: the variable is set to something that cannot be read.
        """
        text = environ.get(self.name, "").strip()
        if not text:
            return self.default
        try:
            return self.parse(text)
        except ValueError as error:
            raise ConfigError(self.name, f"{text!r} is not valid: {error}") from None


def _boolean(text: str) -> bool:
    values = {"1": True, "true": True, "on": True, "yes": True, "0": False, "false": False, "off": False, "no": False}
    if text.lower() not in values:
        raise ValueError("use 1 or 0")
    return values[text.lower()]


def _positive(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    def positive(text: str) -> Any:
        value = parse(text)
        if not value > 0:
            raise ValueError("it must be over zero")
        return value

    return positive


def _one_of(*values: str) -> Callable[[str], str]:
    def one(text: str) -> str:
        if text.lower() not in values:
            raise ValueError(f"use {' or '.join(values)}")
        return text.lower()

    return one


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError("it must lie between 0 and 1")
    return value


def _shares(text: str) -> dict[str, float]:
    shares = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, separator, share = part.rpartition("=")
        if not separator or not name.strip():
            raise ValueError("it looks like name=0.5,other=1")
        shares[name.strip()] = _share(share)
    return shares


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (each.strip() for each in text.split(","))))


def _captures(text: str) -> dict[str, str]:
    """By kind; "" is every kind that is not named."""
    captures = {}
    for part in _names(text):
        kind, _, how = part.rpartition("=")
        captures[kind.strip()] = how.strip()
    return captures


_HOUR_NS = 3_600 * 10**9
_AGES_NS = {"h": _HOUR_NS, "d": 24 * _HOUR_NS, "w": 7 * 24 * _HOUR_NS, "y": 365 * 24 * _HOUR_NS}
_SIZES = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


class AgeRule(NamedTuple):
    """How long traces of one project, flag or status are kept."""

    field: str
    """project, flag or status; empty is every trace."""
    value: str
    keep_ns: int | None
    """None: for ever."""


def _age(text: str) -> int | None:
    if text.lower() == "forever":
        return None
    number, unit = text[:-1].strip(), text[-1:].lower()
    if unit not in _AGES_NS or not number.isdecimal() or not number.isascii() or int(number) == 0:
        raise ValueError("an age looks like 12h, 30d, 4w or 1y, or is `forever`")
    # No store keeps what is older than its clock.
    return min(int(number) * _AGES_NS[unit], 2**62)


def _age_rules(text: str) -> tuple[AgeRule, ...]:
    known = {
        "flag": ("USER_NEGATIVE", "EMPTY", "LOW_CONFIDENCE", "NORMAL"),
        "status": ("unset", "ok", "error"),
    }
    rules = []
    for part in _names(text):
        what, separator, age = part.rpartition("=")
        field, _, value = what.strip().partition(":")
        value = value.upper() if field == "flag" else value.lower() if field == "status" else value
        if not separator or field not in (*known, "project") or not value:
            raise ValueError(f"{part[:60]!r}; it looks like flag:USER_NEGATIVE=180d,status:error=90d,project:demo=7d")
        if value not in known.get(field, (value,)):
            raise ValueError(f"{field} is one of {', '.join(known[field])}")
        rules.append(AgeRule(field, value, _age(age.strip())))
    return tuple(rules)


def _metric_ages(text: str) -> dict[str, int | None]:
    ages = dict(_METRIC_AGES)
    for part in _names(text):
        name, separator, age = part.partition("=")
        if not separator or name.strip() not in ages:
            raise ValueError("it looks like minutes=30d,hours=1y,days=forever")
        ages[name.strip()] = _age(age.strip())
    return ages


_METRIC_AGES = {"minutes": 30 * _AGES_NS["d"], "hours": _AGES_NS["y"], "days": None}


def _size(text: str) -> int:
    digits = text.rstrip("BKMGTbkmgt ")
    unit = text[len(digits) :].strip().upper()
    if unit not in _SIZES or not float(digits) > 0:
        raise ValueError("a size looks like 20GB, 500MB or a number of bytes")
    return int(float(digits) * _SIZES[unit])


# The SDK.
ENDPOINT = Setting(
    "CLEW_ENDPOINT",
    str,
    "http://127.0.0.1:4319",
    "Where traces go: http(s)://host:port of a Clew server, or straight into a store: sqlite:///path, postgresql://…, "
    "clickhouse://…",
)
API_KEY = Setting("CLEW_API_KEY", str, "", "The key that the SDK sends with its spans; it names the project.")
ENABLED = Setting("CLEW_ENABLED", _boolean, True, "0 switches tracing off: spans cost next to nothing and go nowhere.")
SERVICE = Setting("CLEW_SERVICE", str, "", "The name of this service, kept with every span as service.name.")
FLUSH_TRACES = Setting("CLEW_FLUSH_TRACES", _positive(int), 100, "The writer sends when this many traces have ended...")
FLUSH_INTERVAL_S = Setting(
    "CLEW_FLUSH_INTERVAL_S", _positive(float), 5.0, "... or when this many seconds have passed, whichever is first."
)
QUEUE_SPANS = Setting(
    "CLEW_QUEUE_SPANS",
    _positive(int),
    100_000,
    "The most spans that wait in memory to be sent; more are dropped and counted.",
)

MODE = Setting(
    "CLEW_MODE",
    _one_of("develop", "product"),
    "develop",
    "`develop` stores every trace; `product` a share of the successes, and whatever failed, is flagged or slow.",
)
SAMPLE_RATE = Setting("CLEW_SAMPLE_RATE", _share, 0.1, "In `product`: the share of unremarkable traces that is stored.")
SAMPLE_RATES: Setting[dict[str, float]] = Setting(
    "CLEW_SAMPLE_RATES",
    _shares,
    {},
    "In `product`: other shares for some operations, by the root span's name: `GET /health=0,chat=0.5`.",
)
SPOOL = Setting(
    "CLEW_SPOOL",
    str,
    "",
    "The folder that keeps what the server could not take; by default one below the user's state folder, 0 is none.",
)
SPOOL_BYTES = Setting("CLEW_SPOOL_BYTES", _positive(int), 256 << 20, "The most bytes that are kept there.")
REDACT = Setting(
    "CLEW_REDACT",
    _boolean,
    True,
    "0 leaves keys, tokens, card numbers and mail addresses in what is sent; "
    "passwords by name are left out all the same.",
)
REDACT_NAMES: Setting[tuple[str, ...]] = Setting(
    "CLEW_REDACT_NAMES", _names, (), "More names, comma separated, under which a value is secret: `ssn,patient_id`."
)
CAPTURE: Setting[dict[str, str]] = Setting(
    "CLEW_CAPTURE",
    _captures,
    {},
    "How inputs and outputs are captured: `full`, `truncate:2000`, `hash` or `none`; "
    "by kind: `generation=hash,tool=none`.",
)
TOKEN_SPANS = Setting(
    "CLEW_TOKEN_SPANS", _boolean, False, "1 makes a child span of every token of a stream, for the few who want them."
)

# The server.
STORE = Setting(
    "CLEW_STORE",
    str,
    "sqlite:///clew.db",
    "Which store `clew serve` opens: sqlite:///path, postgresql://user:password@host/database, "
    "clickhouse://user:password@host:8123/database, or memory:.",
)
HOST = Setting(
    "CLEW_HOST", str, "127.0.0.1", "The address that `clew serve` listens on; anything but loopback wants keys."
)
PORT = Setting("CLEW_PORT", int, 4319, "The port that `clew serve` listens on.")
ADMIN_KEY = Setting(
    "CLEW_ADMIN_KEY", str, "", "The admin key; without it the first start makes one and prints a login link."
)
URL = Setting("CLEW_URL", str, "http://127.0.0.1:4319", "The server that `clew traces` and `clew doctor` ask.")
MAX_BODY_BYTES = Setting(
    "CLEW_MAX_BODY_BYTES", _positive(int), 64 << 20, "The largest body taken, in bytes, also after decompression."
)
MAX_QUEUE_BYTES = Setting(
    "CLEW_MAX_QUEUE_BYTES",
    _positive(int),
    256 << 20,
    "The most bytes of bodies that wait to be stored; over it the answer is 503 with Retry-After.",
)
MAX_VALUE_CHARS = Setting(
    "CLEW_MAX_VALUE_CHARS",
    _positive(int),
    1 << 20,
    "Longer strings in attributes, inputs and outputs are cut, visibly.",
)
TEXT_SEARCH = Setting(
    "CLEW_TEXT_SEARCH",
    _boolean,
    True,
    "0 switches off full text search over inputs and outputs, which costs ingest speed and disk.",
)
SECOND_PROCESS = Setting(
    "CLEW_SECOND_PROCESS",
    _boolean,
    True,
    "0 keeps `clew serve` to one process; otherwise, with two cores, a second one decodes once requests queue up.",
)
LEARN = Setting("CLEW_LEARN", _boolean, True, "0 switches off learning the execution graph from what is stored.")
LEARN_AFTER_S = Setting(
    "CLEW_LEARN_AFTER_S",
    _positive(float),
    2.0,
    "A trace is learned when nothing of it came for so many seconds; 30 times as long while its root has not come.",
)
RETENTION: Setting[int | None] = Setting(
    "CLEW_RETENTION", _age, None, "How long traces are kept, from their start: `12h`, `30d`, `1y` or `forever`."
)
RETENTION_RULES: Setting[tuple[AgeRule, ...]] = Setting(
    "CLEW_RETENTION_RULES",
    _age_rules,
    (),
    "Other ages for some: `flag:USER_NEGATIVE=180d,status:error=90d,project:demo=7d`; of those that match the longest.",
)
RETENTION_BYTES: Setting[int | None] = Setting(
    "CLEW_RETENTION_BYTES",
    _size,
    None,
    "The size that the store is kept under, such as `20GB`: what came first goes first, and what a rule for its flag "
    "or status keeps longer goes last.",
)
RETENTION_METRICS: Setting[dict[str, int | None]] = Setting(
    "CLEW_RETENTION_METRICS",
    _metric_ages,
    _METRIC_AGES,
    "How long histograms are kept: by the minute, by the hour and by the day.",
)
ALLOWED_HOSTS = Setting(
    "CLEW_ALLOWED_HOSTS",
    str,
    "",
    "More host names, comma separated, under which the server may be reached; loopback and its own address always are.",
)
EVENT_BUS = Setting(
    "CLEW_EVENT_BUS",
    str,
    "",
    "A postgresql:// URL over which servers and other processes hear each other's tool and capability events.",
)

SETTINGS: tuple[Setting[Any], ...] = tuple(value for value in list(vars().values()) if isinstance(value, Setting))
