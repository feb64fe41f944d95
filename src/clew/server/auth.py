"""
Who asks, and whether they may: one policy for each route, and deny by default.

Three scopes: `ingest` writes to its project, `read` reads its project, `admin` does
everything in every project. The policy is that of the route that matched, never of the raw
path. A key is kept as its SHA-256 and compared in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple
from urllib.parse import urlsplit

from starlette.requests import Request

from clew.query.filters import DEFAULT_PROJECT
from clew.server.hosts import is_loopback
from clew.server.problem import Forbidden, Unauthenticated
from clew.store.protocol import KeyRecord

COOKIE = "clew_session"
SESSION_S = 30 * 86_400
MAX_KEY_CHARS = 512
ALL_PROJECTS = "*"
SCOPES = ("ingest", "read", "admin")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Policy(Enum):
    """What a route asks of its caller: the scopes that open it."""

    PUBLIC = frozenset[str]()
    """Anybody. Shows nothing of what is stored."""
    INGEST = frozenset({"ingest", "admin"})
    """Writes. On a loopback address also without a key."""
    OPERATE = frozenset({"ingest", "read", "admin"})
    """Figures about the server itself. On a loopback address also without a key."""
    READ = frozenset({"read", "admin"})
    """Reads what is stored. Always wants a key."""
    ADMIN = frozenset({"admin"})
    """Sees across projects. Always wants an admin key."""


WITHOUT_KEY = frozenset({Policy.INGEST, Policy.OPERATE})
"""What needs no key when asked for from the machine itself, under a loopback name."""


class Caller(NamedTuple):
    """Who asks."""

    scope: str
    project: str
    """The one project that the caller may touch; "*" for all of them."""

    def project_for(self, wanted: str | None) -> str:
        """
        Give the project to use, where the request names *wanted*, or none.

        Raises:
            Forbidden: the credential is for another project.
        """
        if self.project == ALL_PROJECTS:
            return wanted or DEFAULT_PROJECT
        if wanted and wanted != self.project:
            raise Forbidden(f"this key is for project {self.project!r} only")
        return self.project


ANYBODY = Caller(scope="", project=DEFAULT_PROJECT)
LOCAL = Caller(scope="ingest", project=DEFAULT_PROJECT)


def hash_key(key: str) -> str:
    """Give what is kept of a key: its SHA-256, in hex. Keys are random, so no salt is needed."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def new_key(scope: str) -> str:
    """Make a key: 256 random bits, with a prefix that people and secret scanners recognise."""
    return f"clew_{scope}_{secrets.token_urlsafe(32)}"


class Sessions:
    """
    Signs what the page's cookie says.

    The secret lives as long as the process: a session ends with the server, and nobody who
    reads the store can forge one. A session names its key and dies with it.
    """

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self._secret = secrets.token_bytes(32)
        self._now = now

    def sign(self, key_hash: str) -> str:
        """Give a cookie's value for the holder of the key with that hash."""
        claim = f"{key_hash}.{int(self._now()) + SESSION_S}"
        return f"{claim}.{self._signature(claim)}"

    def key_hash(self, cookie: str) -> str | None:
        """Give the hash of the key that *cookie* was made for; None if it is forged or too old."""
        claim, _, signature = cookie.rpartition(".")
        # As bytes: compare_digest refuses text that is not ASCII.
        if not hmac.compare_digest(signature.encode("utf-8", "replace"), self._signature(claim).encode()):
            return None
        key_hash, _, expires = claim.partition(".")
        return key_hash if self._now() < int(expires) else None

    def _signature(self, claim: str) -> str:
        return hmac.new(self._secret, claim.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def presented_key(request: Request) -> str | None:
    """
    Give the key in the headers, "" for one that cannot be right, None if there is none.

    A header that is there but unreadable counts as a wrong key, never as none.
    """
    authorization = request.headers.get("authorization")
    if authorization is not None:
        scheme, _, key = authorization.partition(" ")
        key = key.strip()
        return key if scheme.lower() == "bearer" and len(key) <= MAX_KEY_CHARS else ""
    other = request.headers.get("x-api-key")
    return other if other is None or len(other) <= MAX_KEY_CHARS else ""


def may_go_without_key(request: Request, policy: Policy, *, bound_to_loopback: bool) -> bool:
    """
    Whether a caller with no credential may pass.

    All three must be local: the address that the server listens on, the peer, and the name in
    the Host header. A reverse proxy on the same machine makes every peer look local, but it
    passes on a public name.
    """
    if policy not in WITHOUT_KEY or not bound_to_loopback:
        return False
    peer = request.client.host if request.client else ""
    return is_loopback(peer) and is_loopback(urlsplit(f"//{request.headers.get('host', '')}").hostname or "")


def refuse_other_sites(request: Request, *, needs_origin: bool) -> None:
    """
    Refuse what another site's page made the browser send: CSRF.

    Only for what a browser adds by itself (the cookie, or being on this machine); a key in a
    header was put there on purpose. "same-site" is refused too: ports do not part sites, so any
    page on localhost would be one.

    Raises:
        Forbidden: the request comes from another origin, or with *needs_origin* does not say.
    """
    if request.method in SAFE_METHODS:
        return
    fetch_site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    foreign = fetch_site is not None and fetch_site not in ("same-origin", "none")
    foreign = foreign or (origin is not None and urlsplit(origin).netloc != request.headers.get("host"))
    if foreign:
        raise Forbidden("this request was made by another site's page")
    if needs_origin and fetch_site is None and origin is None:
        raise Forbidden("a request with the session cookie must say its Origin; use a key in a header instead")


def admit(caller: Caller, policy: Policy) -> Caller:
    """
    Let *caller* through, or say why not.

    Raises:
        Forbidden: the key has another scope.
    """
    if caller.scope not in policy.value:
        wanted = " or ".join(scope for scope in SCOPES if scope in policy.value)
        raise Forbidden(f"this needs a key with scope {wanted}; yours has scope {caller.scope}")
    return caller


class Gate:
    """Finds out who asks. Looks keys up at most every few seconds, so a revoked one soon dies."""

    REMEMBER_S = 2.0
    MAX_REMEMBERED = 10_000

    def __init__(
        self,
        find_key: Callable[[str], KeyRecord | None],
        *,
        admin_key: str,
        bound_to_loopback: bool,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find_key = find_key
        self._admin_hash = hash_key(admin_key) if admin_key else ""
        self._bound_to_loopback = bound_to_loopback
        self._now = now
        self._remembered: dict[str, tuple[float, KeyRecord]] = {}
        self.sessions = Sessions()

    def remembered(self, key_hash: str) -> KeyRecord | None:
        """Give a key without asking the store: the configured admin key, or one seen just now."""
        if self._admin_hash and hmac.compare_digest(key_hash, self._admin_hash):
            return KeyRecord(
                key_hash=key_hash, scope="admin", project=ALL_PROJECTS, label="CLEW_ADMIN_KEY", created_ns=0
            )
        seen_at, record = self._remembered.get(key_hash, (0.0, None))
        return record if record is not None and self._now() - seen_at < self.REMEMBER_S else None

    def look_up(self, key_hash: str) -> KeyRecord | None:
        """Give a key, asking the store if need be. Blocks; call it off the event loop."""
        record = self.remembered(key_hash)
        if record is not None:
            return record
        found = self._find_key(key_hash)
        if found is None or not hmac.compare_digest(found.key_hash, key_hash):
            self._remembered.pop(key_hash, None)
            return None
        if len(self._remembered) >= self.MAX_REMEMBERED:
            self._remembered.clear()
        self._remembered[key_hash] = (self._now(), found)
        return found

    def claimed_hash(self, request: Request, policy: Policy) -> str | None:
        """
        Give the hash of the key that *request* claims, by header or cookie; None if it may pass
        without.

        Raises:
            Unauthenticated: it claims none and needs one.
            Forbidden: a browser sent it on behalf of another site.
        """
        key = presented_key(request)
        if key is not None:
            return hash_key(key)
        cookie = request.cookies.get(COOKIE)
        if cookie:
            key_hash = self.sessions.key_hash(cookie)
            if key_hash is not None:
                refuse_other_sites(request, needs_origin=True)
                return key_hash
        if may_go_without_key(request, policy, bound_to_loopback=self._bound_to_loopback):
            refuse_other_sites(request, needs_origin=False)
            return None
        raise Unauthenticated("this needs a key: send `Authorization: Bearer <key>`, or log in on the page")
