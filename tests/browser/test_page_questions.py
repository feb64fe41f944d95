"""Conditions, pages that end early, and the heat map, in a real browser."""

from __future__ import annotations

import re

from browser_driver import Server, Watch
from browser_samples import Tracer
from playwright.sync_api import Page, Route, expect


def _trace(user_id: str, **attributes: object) -> Tracer:
    made = Tracer()
    made.span("ask", "root", None, 0, 900, attributes={"user_id": user_id, **attributes})
    made.span("look it up", "tool", made.spans[0]["span_id"], 10, 60)
    return made


def test_traces_are_found_by_what_their_spans_carry(page: Page, server: Server):
    """The box takes several conditions; the address keeps them, so that a view can be shared."""
    gold, free = _trace("tiers", tier="gold", top_k=7), _trace("tiers", tier="free", top_k=3)
    for made in (gold, free):
        server.send(made.body())
    page.goto(server.login_link("/traces?user_id=tiers"))
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_label("Attributes").fill("tier=gold, top_k>=5")
    page.get_by_role("button", name="Filter", exact=True).click()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator(f"tr[data-trace='{gold.trace_id}']")).to_be_visible()
    page.reload()
    expect(page.get_by_label("Attributes")).to_have_value("tier=gold, top_k>=5")
    expect(page.locator("tbody tr")).to_have_count(1)

    page.goto(f"{server.url}/#/traces?user_id=tiers&name=look+it+up&where=tier!%3Dgold")
    expect(page.locator(f"tr[data-trace='{free.trace_id}']")).to_be_visible()
    expect(page.locator("tbody tr")).to_have_count(1)


def test_a_condition_that_means_nothing_is_said_to_be_so(page: Page, server: Server, watch: Watch):
    """And is not shown as "no trace matches"."""
    watch.expected = ["status of 400"]
    page.goto(server.login_link("/traces?where=top_k>%3Dmany"))
    expect(page.get_by_role("alert").filter(has_text="is not a number")).to_be_visible()
    expect(page.get_by_role("heading", name="No trace matches")).to_have_count(0)


def test_a_page_that_ended_early_is_not_taken_for_the_end(page: Page, server: Server):
    """What was looked through so far had none; the button goes on from there."""
    made = _trace("rare", tier="gold")
    server.send(made.body())
    cursors: list[str | None] = []

    def answer(route: Route) -> None:
        cursors.append((re.search(r"cursor=([^&]*)", route.request.url) or [None, None])[1])
        if cursors[-1] is None:
            route.fulfill(json={"traces": [], "next_cursor": f"{2**62}-{'f' * 32}", "unfinished": True})
        else:
            route.continue_()

    page.route("**/api/v1/admin/traces/?*", answer)
    page.goto(server.login_link("/traces?user_id=rare&where=tier%3Dgold"))
    expect(page.get_by_role("heading", name="None so far")).to_be_visible()
    page.get_by_role("button", name="Look further back").click()
    expect(page.locator(f"tr[data-trace='{made.trace_id}']")).to_be_visible()
    expect(page.get_by_role("button", name="Look further back")).to_be_hidden()


def test_the_heat_map_says_in_words_what_it_shows(page: Page, server: Server):
    """Time to the right, doublings upwards; every cell has its count."""
    for _ in range(3):
        server.send(_trace("heat").body())
    page.goto(server.login_link("/latency?kind=tool&days=1"))
    heat = page.locator("figure.heat")
    expect(heat.get_by_role("img")).to_have_attribute("aria-label", re.compile(r"\d+ spans by duration over time"))
    titles = heat.locator("rect title").all_text_contents()
    assert any(re.search(r"\d\d\.\d ms to \d\d\.\d ms: \d+ spans$", title) for title in titles)
