"""A store's URL as it may be shown."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

_SECRET = ("password=", "sslpassword=", "passfile=")


def shown(url: str) -> str:
    """Give *url* without its password."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    query = "&".join(each for each in parts.query.split("&") if not each.lower().startswith(_SECRET))
    if (user.partition(":")[0], query) == (user, parts.query):
        return url  # to the letter: putting it together again may drop a slash
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}{at}{host}", query=query))
