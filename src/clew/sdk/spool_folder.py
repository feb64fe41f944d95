"""
Where the spool of an endpoint lies.

One folder for each endpoint and key: the key names the project, and what one project could not
send must never be sent with the key of another.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final

from clew.errors import ConfigError
from clew.sdk.spool import Spool

OFF: Final = frozenset(("0", "false", "off", "no"))
ON: Final = frozenset(("1", "true", "on", "yes"))


def spool_from(
    folder: str | os.PathLike[str] | bool | None, limit_bytes: int, endpoint: str, api_key: str = ""
) -> Spool | None:
    """
    Make the spool of *endpoint*; None where there is to be none. Nothing is opened or made yet.

    *folder* is where the user wants it; None is the default: below the user's state folder if
    *endpoint* is a server, none if it is a store.

    Raises:
        ConfigError: what was given cannot be used.
    """
    if not isinstance(limit_bytes, int) or isinstance(limit_bytes, bool) or limit_bytes < 1:
        raise ConfigError("spool_bytes", f"{limit_bytes!r} is not a whole number of bytes over zero")
    place = folder_of(folder, endpoint, api_key)
    return None if place is None else Spool(place, limit_bytes=limit_bytes)


def folder_of(folder: str | os.PathLike[str] | bool | None, endpoint: str, api_key: str = "") -> Path | None:
    """
    Where the spool of *endpoint* lies or would lie; None if there is none.

    Raises:
        ConfigError: *folder* is none.
    """
    if folder is None and not endpoint.startswith(("http://", "https://")):
        return None
    root = _chosen(folder)
    if root is None or sys.platform == "win32":
        return None
    # A hash that is cut short, so that the name gives away nothing of the key.
    return root / sha256(f"{endpoint.rstrip('/')}\0{api_key}".encode("utf-8", "replace")).hexdigest()[:16]


def _chosen(folder: str | os.PathLike[str] | bool | None) -> Path | None:
    if folder is None or folder is True:
        return default_root()
    if folder is False:
        return None
    try:
        text = os.fsdecode(folder)
    except TypeError:
        raise ConfigError("spool", f"{folder!r} is no folder; give a path, or False for none") from None
    if text.lower() in OFF:
        return None
    if text.lower() in ON:
        return default_root()
    if not text or "\0" in text:
        raise ConfigError("spool", f"{text!r} is no folder; give a path, or False for none")
    return Path(text).expanduser() if text.startswith("~/") else Path(text).absolute()


def default_root(environ: Mapping[str, str] = os.environ) -> Path | None:
    """
    Give the folder of all spools: below the user's state folder. None if the user has no home.

    Source: XDG Base Directory Specification 0.8, `XDG_STATE_HOME`; a relative path there counts as unset.
    """
    state = environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(state):
        return Path(state, "clew", "spool")
    home = os.path.expanduser("~")
    return Path(home, ".local", "state", "clew", "spool") if os.path.isabs(home) else None


def spool_root(environ: Mapping[str, str] = os.environ) -> Path | None:
    """
    Give the folder of all spools as CLEW_SPOOL says, which may not be there; None if there is none.

    Raises:
        ConfigError: CLEW_SPOOL names no folder.
    """
    return _chosen(environ.get("CLEW_SPOOL", "").strip() or None)
