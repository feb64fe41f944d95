"""What a server is told at start: from the environment, flags of `clew serve`, or a test."""

from __future__ import annotations

from typing import NamedTuple

from clew import config
from clew.store.retention import Policy


class ServerSettings(NamedTuple):
    """All of it, checked."""

    host: str = "127.0.0.1"
    port: int = 4319
    admin_key: str = ""
    allowed_hosts: tuple[str, ...] = ()
    max_body_bytes: int = config.MAX_BODY_BYTES.default
    max_queue_bytes: int = config.MAX_QUEUE_BYTES.default
    second_process: bool = config.SECOND_PROCESS.default
    event_bus: str = ""
    learn: bool = config.LEARN.default
    learn_after_s: float = config.LEARN_AFTER_S.default
    retention: Policy = Policy()

    @property
    def body_limit_bytes(self) -> int:
        """The largest body taken: one that is larger than the whole queue could never get in."""
        return min(self.max_body_bytes, self.max_queue_bytes)

    @classmethod
    def read(cls, *, host: str | None = None, port: int | None = None) -> ServerSettings:
        """
        Read the environment; *host* and *port* win over it.

        Raises:
            ConfigError: a variable is set to something that cannot be read.
        """
        return cls(
            host=config.HOST.read() if host is None else host,
            port=config.PORT.read() if port is None else port,
            admin_key=config.ADMIN_KEY.read(),
            allowed_hosts=tuple(filter(None, (name.strip() for name in config.ALLOWED_HOSTS.read().split(",")))),
            max_body_bytes=config.MAX_BODY_BYTES.read(),
            max_queue_bytes=config.MAX_QUEUE_BYTES.read(),
            second_process=config.SECOND_PROCESS.read(),
            event_bus=config.EVENT_BUS.read(),
            learn=config.LEARN.read(),
            learn_after_s=config.LEARN_AFTER_S.read(),
            retention=Policy.read(),
        )
