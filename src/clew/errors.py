"""
Every error that Clew raises on purpose: `ClewError` and its few children.

Each says what to do about it and carries its facts as fields. The HTTP status
of each lives in `clew.server.problem`, its exit status in `clew.cli`.
"""


class ClewError(Exception):
    """Something that Clew can name and the reader can mend."""


class ConfigError(ClewError):
    """A setting is wrong. Exit status 2."""

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(f"{setting}: {problem}")
        self.setting = setting
        self.problem = problem


class MalformedId(ClewError):
    """Not a W3C trace id (32 hex digits), span id (16) or traceparent. HTTP 400."""

    def __init__(self, what: str, value: object) -> None:
        super().__init__(f"{what} is malformed: {str(value)[:80]!r}")
        self.what = what
        self.value = value


class MalformedBody(ClewError):
    """The body as a whole cannot be read, so nothing in it was stored. HTTP 400."""


class UnsupportedMedia(ClewError):
    """No decoder for this content type or encoding. HTTP 415."""


class TooLarge(ClewError):
    """The body, or what it inflates to, is over the limit; nothing was stored. HTTP 413."""

    def __init__(self, what: str, *, limit_bytes: int) -> None:
        super().__init__(f"{what} is over the limit of {limit_bytes} bytes; send smaller batches")
        self.limit_bytes = limit_bytes


class BadFilter(ClewError):
    """A filter of a query makes no sense. HTTP 400; exit status 2."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class StoreBusy(ClewError):
    """Over capacity. Nothing was written; retrying is safe. HTTP 503 with Retry-After."""


class StoreUnavailable(ClewError):
    """
    The store cannot be opened, read or written now. HTTP 503; exit status 1.

    Nothing of the batch was written; retrying is safe.
    """


class SchemaTooNew(StoreUnavailable):
    """The store was made by a newer Clew. Nothing was touched."""

    def __init__(self, *, found: int, known: int) -> None:
        super().__init__(
            f"the store has schema {found}, this Clew knows up to {known}; upgrade Clew or open another store"
        )
        self.found = found
        self.known = known


class UnknownNode(ClewError):
    """The graph of this project has no such tool or capability. HTTP 404; exit status 2."""

    def __init__(self, asked: str, *, near: tuple[str, ...] = (), ambiguous: bool = False) -> None:
        if ambiguous:
            hint = f"it could be any of {', '.join(near)}; say which"
        elif near:
            hint = f"did you mean {' or '.join(near)}?"
        else:
            hint = "nothing like it was ever traced in this project"
        super().__init__(f"no node {asked[:200]!r}: {hint}")
        self.asked = asked
        self.near = near
        self.ambiguous = ambiguous


class BadTemplate(ClewError):
    """A declared workflow makes no sense: a cycle, or not a mapping. HTTP 400; exit status 2."""
