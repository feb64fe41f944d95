"""
Every `CLEW_*` setting: name, type, default, one sentence.

This table is the whole list; `docs/reference/settings.md` is checked against it. An argument
of `clew.configure` or a flag of `clew serve` wins over the environment.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

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


# The SDK.
ENDPOINT = Setting(
    "CLEW_ENDPOINT",
    str,
    "http://127.0.0.1:4319",
    "Where traces go: http(s)://host:port of a Clew server, or sqlite:///path straight into a store.",
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

# The server.
STORE = Setting("CLEW_STORE", str, "sqlite:///clew.db", "Which store `clew serve` opens.")
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
LEARN = Setting("CLEW_LEARN", _boolean, True, "0 switches off learning the execution graph from what is stored.")
LEARN_AFTER_S = Setting(
    "CLEW_LEARN_AFTER_S",
    _positive(float),
    2.0,
    "A trace is learned when nothing of it came for so many seconds; 30 times as long while its root has not come.",
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
