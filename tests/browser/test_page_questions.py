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


def test_the_heat_map_is_of_the_time_that_has_spans(page: Page, server: Server):
    """A week in which one minute has spans would be one thin line at the edge."""
    server.send(_trace("now").body())
    page.goto(server.login_link("/latency?kind=tool&days=7"))
    cells = page.locator("figure.heat rect")
    expect(cells.first).to_be_visible()
    widths = {float((cell.get_attribute("width") or "0").rstrip("%")) for cell in cells.all()}
    assert min(widths) > 10, widths


def test_percentiles_that_somebody_chose_are_columns_and_marks(page: Page, server: Server, watch: Watch):
    """They stay in the address; what is none is said to be so."""
    server.send(_trace("tails").body())
    page.goto(server.login_link("/latency?kind=tool"))
    page.get_by_label("More percentiles").fill("p90, 0.25 99.9")
    page.get_by_label("More percentiles").press("Enter")
    heads = page.locator("table.latency thead button")
    expect(heads.filter(has_text=re.compile(r"^p(25|90|99[.]9)$"))).to_have_text(["p25", "p90", "p99.9"])
    expect(page.locator("svg.quantiles .chosen")).to_have_count(3)
    expect(page.locator("svg.quantiles").first).to_have_attribute("aria-label", re.compile(r"p99\.9 50[.0-9]* ms"))
    heads.filter(has_text="p99.9").click()
    expect(page.locator("table.latency [aria-sort=descending]")).to_have_text(re.compile("p99.9"))
    page.reload()
    expect(page.locator("svg.quantiles .chosen")).to_have_count(3)

    watch.expected = ["status of 400"]
    page.get_by_label("More percentiles").fill("most")
    page.get_by_label("More percentiles").press("Enter")
    expect(page.get_by_role("alert").filter(has_text="quantiles")).to_be_visible()


def test_traces_are_found_by_tokens_and_cost(page: Page, server: Server):
    """As the command line does it."""
    cheap, dear = _trace("prices"), _trace("prices")
    for made, usage in ((cheap, (10, 0.001)), (dear, (900, 0.5))):
        says = {"input_tokens": usage[0], "cost_usd": usage[1]}
        made.span("chat", "generation", made.spans[0]["span_id"], 100, 200, attributes={"model": "m", **says})
        server.send(made.body())
    page.goto(server.login_link("/traces?user_id=prices"))
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_label("Tokens", exact=True).fill("500")
    page.get_by_label("Tokens", exact=True).press("Enter")
    expect(page.locator(f"tr[data-trace='{dear.trace_id}']")).to_be_visible()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.goto(f"{server.url}/#/traces?user_id=prices&max_cost_usd=0.01")
    expect(page.locator(f"tr[data-trace='{cheap.trace_id}']")).to_be_visible()
    expect(page.locator("tbody tr")).to_have_count(1)


def test_nothing_is_cut_off_on_a_telephone(page: Page, server: Server):
    """Somebody looks from the train; the way out is seen, too."""
    server.send(_trace("first").body())
    server.ask("/api/v1/spans?project=a-project-with-a-long-name", _trace("second").body())
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(server.login_link("/latency"))
    expect(page.get_by_label("Project")).to_be_visible()
    box = page.get_by_role("button", name="Log out").bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= 390, box
