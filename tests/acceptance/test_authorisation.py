"""Every route x every credential: deny by default."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from fastapi import FastAPI
from starlette.routing import Route

from clew.server.app import Row, guarded, refuse_unguarded, table
from clew.server.auth import COOKIE, Policy
from clew.server.page import Page

ROUTES = table(Page())
CREDENTIALS = ("nothing", "wrong", "ingest", "read", "admin", "session", "forged session")

OPEN_TO = {
    Policy.PUBLIC: set(CREDENTIALS),
    # On loopback also without a key; a forged cookie is as good as none.
    Policy.INGEST: {"nothing", "forged session", "ingest", "admin", "session"},
    Policy.OPERATE: {"nothing", "forged session", "ingest", "read", "admin", "session"},
    Policy.READ: {"read", "admin", "session"},
    Policy.ADMIN: {"admin", "session"},
}


@pytest.fixture(scope="module")
def keys(shared, clew_command):
    """One key of each scope, for project "walled"."""
    return {
        scope: clew_command(
            "keys", "create", "--scope", scope, "--project", "walled", "--store", shared.store_url
        ).stdout.strip()
        for scope in ("ingest", "read")
    } | {"admin": "sesame-of-the-tests", "wrong": "clew_admin_wrong"}


@pytest.fixture(scope="module")
def headers(shared, keys):
    """What a client with each credential sends."""
    login = httpx.post(f"{shared.url}/api/v1/login", json={"key": keys["admin"]})
    assert login.status_code == 204
    cookie = login.cookies[COOKIE]
    return (
        {"nothing": {}, "forged session": {"cookie": f"{COOKIE}={cookie[:-1]}x", "origin": shared.url}}
        | {name: {"authorization": f"Bearer {key}"} for name, key in keys.items()}
        | {"session": {"cookie": f"{COOKIE}={cookie}", "origin": shared.url}}
    )


@pytest.mark.parametrize("credential", CREDENTIALS)
@pytest.mark.parametrize("row", ROUTES, ids=lambda row: f"{row.method} {row.path}")
def test_a_route_opens_only_to_who_may(shared, headers, row, credential):
    """The matrix that PROMISES asks for; a refusal is 401 or 403 and nothing else is."""
    path = row.path.format(trace_id="1" * 32, path="app.js") if "{path" not in row.path else "/ui/app.js"

    # Without the body: that of a stream has no end.
    with shared.anybody.stream(row.method, path, headers=headers[credential]) as answer:
        pass

    refused = answer.status_code in (401, 403)
    # Logging in with no key is refused too, by its endpoint, but it is 415 for having no body.
    assert refused is (credential not in OPEN_TO[row.policy])
    if refused:
        assert answer.status_code == (401 if credential in ("nothing", "wrong", "forged session") else 403)


METHODS = ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "POST", "PROPFIND")
HAS = {(row.path, row.method) for row in ROUTES}
# HEAD is GET without its body.
STRANGERS = [
    (row, method)
    for row in ROUTES
    for method in METHODS
    if not {(row.path, method), (row.path, {"HEAD": "GET"}.get(method))} & HAS
]


@pytest.mark.parametrize(
    ("row", "method"),
    STRANGERS,
    ids=lambda value: value if isinstance(value, str) else f"{value.method} {value.path} by",
)
def test_a_method_that_a_route_does_not_have_does_nothing(shared, row, method):
    """405 for anybody, with no data."""
    path = "/ui/app.js" if "{path" in row.path else row.path.format(trace_id="1" * 32)

    assert shared.anybody.request(method, path).status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/admin",
        "/api/v1/admin/",
        "//api/v1/admin/traces/",
        "/API/v1/admin/traces/",
        "/api/v1/admin/traces/../traces/",
        "/api/v1/admin/traces/%2e%2e/traces/",
        "/ui/..%2f..%2ferrors.py",
        "/ui/%2e%2e/errors.py",
        "/ui//etc/passwd",
        "/docs",
        "/openapi.json",
        "/.git/config",
    ],
)
def test_no_other_spelling_of_a_path_leads_anywhere(shared, path):
    """A policy belongs to the route that matched; what matches no route has no data."""
    raw = httpx.URL(shared.url).copy_with(raw_path=path.encode())

    assert shared.anybody.get(raw).status_code in (401, 404)


def test_a_key_of_one_project_neither_reads_nor_writes_another(shared, keys, make):
    """The project comes from the credential."""
    span = make.span(name="in the wall")
    ingest = {"authorization": f"Bearer {keys['ingest']}"}
    read = {"authorization": f"Bearer {keys['read']}"}
    assert shared.anybody.post("/api/v1/spans", json={"spans": [span]}, headers=ingest).status_code == 200

    mine = shared.anybody.get(f"/api/v1/admin/traces/{span['trace_id']}", headers=read)
    foreign = shared.anybody.get("/api/v1/admin/traces/?project=default", headers=read)
    written = shared.anybody.post("/api/v1/spans?project=default", json={"spans": [span]}, headers=ingest)
    elsewhere = shared.admin.get(f"/api/v1/admin/traces/{span['trace_id']}?project=default")

    assert mine.json()["trace"]["project"] == "walled"
    assert (foreign.status_code, written.status_code, elsewhere.status_code) == (403, 403, 404)
    assert shared.anybody.get("/api/v1/admin/projects", headers=read).json() == {"projects": ["walled"]}


def test_x_api_key_is_as_good_as_bearer(shared, keys):
    """Many clients send only that."""
    assert shared.anybody.get("/api/v1/session", headers={"x-api-key": keys["read"]}).json()["scope"] == "read"


def test_a_wrong_key_never_falls_back_to_the_cookie(shared, headers):
    """Who presents a key means that key."""
    both = headers["session"] | headers["wrong"]

    assert shared.anybody.get("/api/v1/session", headers=both).status_code == 401


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(shared):
    """HttpOnly, SameSite=Strict, and gone after logging out."""
    login = httpx.post(f"{shared.url}/api/v1/login", json={"key": "sesame-of-the-tests"})
    logout = httpx.post(f"{shared.url}/api/v1/logout")

    said = login.headers["set-cookie"].lower()
    assert "httponly" in said
    assert "samesite=strict" in said
    assert "max-age=0" in logout.headers["set-cookie"].lower()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"key": "wrong"}, 401),
        ({"key": ""}, 401),
        ({"key": 5}, 400),
        ({}, 400),
        ([], 400),
        ({"key": "x" * 5_000}, 413),
    ],
)
def test_logging_in_takes_a_right_key_and_nothing_else(shared, body, status):
    """Each mistake has its own answer, and none a cookie."""
    answer = httpx.post(f"{shared.url}/api/v1/login", json=body)

    assert answer.status_code == status
    assert "set-cookie" not in answer.headers


def test_an_ingest_key_does_not_log_in(shared, keys):
    """It lies in the configuration of every service; the page shows everybody's prompts."""
    assert httpx.post(f"{shared.url}/api/v1/login", json={"key": keys["ingest"]}).status_code == 403


def test_another_site_cannot_log_anybody_in(shared):
    """Else it could make a victim look at an attacker's traces."""
    answer = httpx.post(
        f"{shared.url}/api/v1/login", json={"key": "sesame-of-the-tests"}, headers={"origin": "https://evil.example"}
    )

    assert answer.status_code == 403


def test_a_revoked_key_is_refused_by_the_running_server(shared, clew_command):
    """Revoking works on the store, and needs no restart."""
    import time

    key = clew_command("keys", "create", "--scope", "read", "--store", shared.store_url).stdout.strip()
    bearer = {"authorization": f"Bearer {key}"}
    assert shared.anybody.get("/api/v1/session", headers=bearer).status_code == 200
    listed = clew_command("keys", "ls", "--store", shared.store_url).stdout
    key_id = listed.strip().splitlines()[-1].split()[0]

    assert key not in listed
    assert clew_command("keys", "revoke", key_id, "--store", shared.store_url).returncode == 0

    deadline = time.monotonic() + 10
    while shared.anybody.get("/api/v1/session", headers=bearer).status_code == 200:
        assert time.monotonic() < deadline


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "evil.example:4319"])
def test_a_foreign_host_gets_nothing_not_even_the_page(shared, host):
    """DNS rebinding makes a foreign page look like our own origin, but cannot change the Host."""
    for path in ("/", "/healthz", "/api/v1/admin/traces/"):
        assert shared.admin.get(path, headers={"host": host}).status_code in (400, 421)


def test_every_answer_tells_browsers_to_be_strict(shared):
    """Also errors, and files."""
    for path in ("/", "/nothing", "/ui/app.js", "/api/v1/admin/traces/", "/healthz"):
        headers = shared.anybody.get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in headers


def test_a_route_without_a_policy_does_not_build():
    """Forgetting it must not open a door; it stops the server."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.router.routes.append(Route("/fine", guarded(Row("GET", "/fine", _nothing, Policy.PUBLIC))))
    refuse_unguarded(app)
    app.router.routes.append(Route("/hole", lambda request: None))

    with pytest.raises(RuntimeError, match="/hole"):
        refuse_unguarded(app)


async def _nothing(request, caller):
    await asyncio.sleep(0)
