"""What a trace contains never runs: promise 20, in a real browser."""

from __future__ import annotations

import pytest
from browser_driver import Server, Watch
from browser_samples import HOSTILE, hostile_body
from playwright.sync_api import Browser, Page, expect

# Elements that only markup could have made, and links that lead elsewhere.
FOREIGN_ELEMENTS = """() => [...document.body.querySelectorAll([
    "script", "img", "iframe", "object", "embed", "style", "base", "meta", "form[action]",
    "[onerror]", "[onload]", "[onmouseover]", "[src]", "[style*=url]",
].join(","))].map((element) => element.outerHTML).concat(
    [...document.querySelectorAll("a")].map((link) => link.getAttribute("href")).filter((href) => !href.startsWith("#"))
)"""
PROTOTYPE_IS_CLEAN = "() => ({}).polluted === undefined && Object.keys(Object.prototype).length === 0"


def verify_inert(page: Page) -> None:
    assert page.evaluate("() => window.pwned") is None
    assert page.evaluate(FOREIGN_ELEMENTS) == []
    assert page.evaluate(PROTOTYPE_IS_CLEAN)


def open_everything(page: Page) -> None:
    """Every view of every part of the chosen span."""
    page.evaluate("() => document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    for name in ("JSON", "readable"):
        for button in page.locator(".panel").get_by_role("button", name=name, exact=True).all():
            button.click()
    verify_inert(page)


@pytest.mark.parametrize("payload", HOSTILE, ids=range(len(HOSTILE)))
def test_nothing_in_a_trace_is_ever_run_or_fetched(page: Page, server: Server, watch: Watch, payload: str):
    """Names, keys, values, errors, scores, resources: each holds the payload, and each is shown as text."""
    trace_id, body = hostile_body(payload)
    server.send(body)
    page.goto(server.login_link("/traces"))
    expect(page.locator(f"tr[data-trace='{trace_id}']")).to_be_visible()
    verify_inert(page)

    page.locator(f"tr[data-trace='{trace_id}'] .request a").click()
    expect(page.get_by_role("treeitem")).to_have_count(2)
    for item in page.get_by_role("treeitem").all():
        item.click()
        item.hover()
        open_everything(page)
    page.get_by_role("tab", name="Scores").click()
    verify_inert(page)

    page.goto(f"{server.url}/#/latency?group_by=kind,name,model")
    expect(page.get_by_role("heading", name="Latency")).to_be_visible()
    expect(page.locator("table.latency tbody tr").first).to_be_visible()
    verify_inert(page)
    watch.verify()


@pytest.mark.parametrize("payload", HOSTILE[:5:2])
def test_what_was_written_is_shown_as_it_was_written(page: Page, server: Server, payload: str):
    """Stripping would hide an attack from the one who looks for it."""
    trace_id, body = hostile_body(payload)
    server.send(body)
    page.goto(server.login_link(f"/traces/{trace_id}"))

    expect(page.locator(".row .label").first).to_have_text(payload)
    expect(page.locator("[data-part=inputs]")).to_contain_text(payload)
    assert payload in page.locator(".attributes").first.inner_text()


def test_a_direction_override_is_shown_and_not_obeyed(page: Page, server: Server):
    """An override would let one name read as another."""
    trace_id, body = hostile_body("\u202egnp.exe")
    server.send(body)
    page.goto(server.login_link(f"/traces/{trace_id}"))

    expect(page.locator(".row .label").first).to_have_text("‹U+202E›gnp.exe")  # noqa: RUF001  (these quotes are what the page shows)


@pytest.mark.parametrize(
    "fragment",
    [
        "/traces/%3Cimg%20src=x%20onerror=alert(1)%3E",
        "/traces?text=%3Cscript%3Ealert(1)%3C/script%3E",
        "/javascript:alert(1)",
        "/__proto__/constructor?__proto__=1&constructor=2",
        "/traces?project=%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
        "/traces?from=never&range=__proto__",
        "/latency?group_by=__proto__&days=constructor&sort=__proto__",
        "/traces/%E0%A4%A",
    ],
)
def test_an_address_is_hostile_too(page: Page, server: Server, watch: Watch, fragment: str):
    """A link that somebody sends is as foreign as a trace."""
    watch.expected = ["status of 400", "status of 404"]
    page.goto(server.login_link(fragment))
    expect(page.get_by_role("navigation")).to_be_visible()
    page.wait_for_load_state("networkidle")

    verify_inert(page)


def test_a_page_that_misbehaves_would_be_seen(server: Server, browser: Browser):
    """The watch on every page of these tests is itself no decoration."""
    page = browser.new_page()
    watch = Watch(page, server.url)
    page.goto(server.login_link())
    expect(page.get_by_role("navigation")).to_be_visible()
    page.evaluate("() => { alert('run'); setTimeout(() => { throw new Error('thrown'); }); }")
    page.evaluate("() => fetch('http://evil.example/').catch(() => null)")
    page.evaluate("() => { try { document.body.innerHTML = '<b>'; } catch (error) { console.error(error.message); } }")
    page.close()

    for what in ("dialog: run", "thrown", "violates the following Content Security Policy directive", "TrustedHTML"):
        assert any(what in line for line in watch.seen), (what, watch.seen)
