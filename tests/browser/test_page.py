"""The page in a real browser, against a real server: what a person does with it, and what must never happen."""

from __future__ import annotations

import re
import time

import pytest
from browser_driver import ADMIN_KEY, Server, Watch
from browser_samples import ANSWER, DEMO_TREE, QUESTION, SYSTEM, Tracer, big_trace, demo_trace, many_traces
from playwright.sync_api import Page, expect

MOST_DOM_NODES = 3_000


def shown_names(page: Page) -> list[str]:
    return page.locator(".row .label").all_inner_texts()


def row(page: Page, name: str):
    return page.get_by_role("treeitem").filter(has=page.get_by_text(name, exact=True))


def test_a_login_link_logs_in_and_leaves_no_key_in_the_address(page: Page, server: Server):
    """A key in the address ends in histories, bookmarks and screenshots."""
    page.goto(server.login_link("/traces?user_id=nobody"))

    expect(page.get_by_role("navigation")).to_be_visible()
    assert ADMIN_KEY not in page.url
    assert page.url.endswith("#/traces?user_id=nobody")
    assert page.evaluate("document.cookie") == ""


def test_without_a_key_there_is_a_login_and_nothing_else(page: Page, server: Server, watch: Watch):
    """A wrong key says so, the right one opens what was asked for."""
    watch.expected = ["status of 401"]
    page.goto(f"{server.url}/#/latency")
    page.get_by_label("Key").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("not known")

    page.get_by_label("Key").fill(ADMIN_KEY)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Latency")).to_be_visible()


def test_logging_out_ends_the_session(page: Page, server: Server, watch: Watch):
    """On a shared machine the next one must not read on."""
    watch.expected = ["status of 401"]
    page.goto(server.login_link("/traces"))
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Key")).to_be_visible()
    page.reload()

    expect(page.get_by_label("Key")).to_be_visible()
    expect(page.get_by_role("table")).to_have_count(0)


def test_a_request_is_found_in_the_list_and_opens_as_its_tree(page: Page, server: Server):
    """The main way through the page: list, waterfall, a span's inputs and outputs."""
    made = demo_trace(user_id="finder")
    server.send(made.body())
    page.goto(server.login_link("/traces?user_id=finder"))
    listed = page.locator(f"tr[data-trace='{made.trace_id}']")
    expect(listed).to_contain_text(QUESTION)
    expect(listed).to_contain_text("normal")
    expect(listed).to_contain_text("629 → 88")

    listed.get_by_role("link", name=QUESTION).click()
    expect(page.get_by_role("treeitem")).to_have_count(len(DEMO_TREE))
    assert shown_names(page) == DEMO_TREE
    levels = [item.get_attribute("aria-level") for item in page.get_by_role("treeitem").all()]
    assert levels == ["1", "2", "3", "3", "4", "4", "4", "4", "3"]

    row(page, "ChatOpenAI").click()
    expect(page.locator("[data-part=inputs]")).to_contain_text(SYSTEM)
    expect(page.locator("[data-part=outputs]")).to_contain_text(ANSWER)
    expect(page.locator(".panel")).to_contain_text("SmolLM2-135M-Instruct")
    expect(row(page, "ChatOpenAI").locator(".first-token")).to_be_visible()


def test_bars_lie_where_the_spans_were(page: Page, server: Server):
    """A picture of time that is off by a span is worse than none."""
    made = demo_trace()
    server.send(made.body())
    page.goto(server.login_link(f"/traces/{made.trace_id}"))
    expect(page.get_by_role("treeitem")).to_have_count(len(DEMO_TREE))
    track = row(page, "ChatOpenAI").locator(".track").bounding_box()
    bar = row(page, "ChatOpenAI").locator(".bar").bounding_box()

    assert track is not None
    assert bar is not None
    assert (bar["x"] - track["x"]) / track["width"] == pytest.approx(131 / 1287, abs=0.005)
    assert bar["width"] / track["width"] == pytest.approx((1274 - 131) / 1287, abs=0.005)


def test_a_failed_span_is_marked_and_shows_its_stack_trace(page: Page, server: Server):
    """What one opens a failed request for is one key away: e."""
    made = demo_trace(failing=True)
    server.send(made.body())
    page.goto(server.login_link(f"/traces/{made.trace_id}"))
    expect(page.get_by_role("tree")).to_be_focused()
    page.keyboard.press("e")

    expect(page.get_by_role("treeitem", selected=True)).to_contain_text("VectorStoreRetriever_global_knowledge")
    expect(page.locator(".panel .stack")).to_contain_text('File "service/index.py", line 31')
    expect(page.locator(".trace-head")).to_contain_text("1 caught error")


def test_a_streams_tokens_are_drawn_and_what_is_no_timeline_is_shown_as_it_is(page: Page, server: Server):
    """One sees where an answer stood still; and the attribute may come from anybody."""
    made = Tracer()
    timed = {"clew.tokens": [100_000, *[10_000] * 40, 300_000], "clew.token_count": 42}
    wrong = {"clew.tokens": ["<img src=x>", -1], "clew.token_count": {}}
    root = made.span("ask", "generation", None, 0, 900, attributes={**timed, "first_token_ms": 100.0})
    other = made.span("odd", "generation", root, 0, 900, attributes=wrong)
    server.send(made.body())
    panel = page.locator(".panel")

    page.goto(server.login_link(f"/traces/{made.trace_id}?span={root}"))
    expect(panel.get_by_role("img", name="42 tokens, the first after 100 ms")).to_be_visible()
    expect(panel).to_contain_text("58.6 tokens/s")
    expect(panel).not_to_contain_text("10000")
    page.goto(server.login_link(f"/traces/{made.trace_id}?span={other}"))
    expect(panel).to_contain_text("<img src=x>")
    expect(panel.locator(".token-line")).to_have_count(0)


def test_the_tree_is_driven_by_keys(page: Page, server: Server):
    """Arrows move, fold and unfold; a slash searches; the chosen span is in the address."""
    made = demo_trace()
    server.send(made.body())
    page.goto(server.login_link(f"/traces/{made.trace_id}"))
    expect(page.get_by_role("tree")).to_be_focused()
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowLeft"):
        page.keyboard.press(key)
    expect(page.get_by_role("treeitem")).to_have_count(5)
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("treeitem")).to_have_count(len(DEMO_TREE))

    page.keyboard.press("/")
    page.keyboard.type("fusion")
    page.keyboard.press("Enter")
    expect(page.get_by_role("treeitem", selected=True)).to_contain_text("VectorStoreRetriever_user_messages")
    expect(page.locator(".found")).to_have_text("1 of 3")
    chosen = next(span["span_id"] for span in made.spans if span["name"] == "VectorStoreRetriever_user_messages")
    assert page.url.endswith(f"?span={chosen}")


def test_a_child_without_its_parent_is_shown_and_marked_until_the_parent_comes(page: Page, server: Server):
    """A span lost is worse than a span late; the page mends itself."""
    made = demo_trace()
    late = [span for span in made.spans if span["name"] == "get_rag_context"]
    server.send({"spans": [span for span in made.spans if span not in late]})
    page.goto(server.login_link(f"/traces/{made.trace_id}"))
    expect(page.locator(".row.is-orphan")).to_have_count(4)
    expect(page.locator(".trace-head")).to_contain_text("4 orphans")

    server.send({"spans": late})
    expect(page.locator(".row.is-orphan")).to_have_count(0)
    assert shown_names(page) == DEMO_TREE


def test_a_low_score_flags_the_trace_at_once(page: Page, server: Server):
    """Whoever scores sees what it did."""
    made = demo_trace()
    server.send(made.body())
    page.goto(server.login_link(f"/traces/{made.trace_id}"))
    page.get_by_role("tab", name="Scores").click()
    page.locator(".star", has_text="2").click()
    page.get_by_label("Comment").fill("That is not what I asked.")
    page.get_by_role("button", name="Save score").click()

    expect(page.locator(".trace-head .verdict")).to_contain_text("user negative")
    expect(page.locator(".trace-head .verdict")).to_contain_text("a user scored it 2 of 5")
    expect(page.locator(".scores")).to_contain_text("That is not what I asked.")


def test_a_filter_that_makes_no_sense_is_explained_beside_it(page: Page, server: Server, watch: Watch):
    """An empty list would read as "no such traces"."""
    watch.expected = ["status of 400"]
    page.goto(server.login_link("/traces"))
    page.get_by_label("Duration, ms", exact=True).fill("soon")
    page.get_by_role("button", name="Filter").click()

    field = page.locator(".field-box.pair")
    expect(field.get_by_role("alert")).to_contain_text("not a number")
    expect(page.locator("#f-min_latency_ms")).to_have_attribute("aria-invalid", "true")


def test_filters_live_in_the_address(page: Page, server: Server):
    """A view that cannot be shared is a view that must be described."""
    server.send(demo_trace(user_id="sharer", question="one of two").body())
    server.send(demo_trace(user_id="sharer", question="two of two").body())
    page.goto(server.login_link("/traces?user_id=sharer"))
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_label("Text").fill("one")
    page.get_by_label("Text").press("Enter")

    expect(page.locator("tbody tr")).to_have_count(1)
    page.wait_for_url(re.compile("text=one"))
    page.reload()
    expect(page.get_by_label("Text")).to_have_value("one")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.go_back()
    expect(page.locator("tbody tr")).to_have_count(2)


def test_older_traces_follow_newer_ones_without_gap_or_repeat(page: Page, server: Server):
    """Pages are cut by time and id, not by number."""
    server.send({"spans": many_traces(120, "many")})
    page.goto(server.login_link("/traces?user_id=many"))
    expect(page.locator("tbody tr")).to_have_count(50)
    page.get_by_role("button", name="Show older").click()
    expect(page.locator("tbody tr")).to_have_count(100)
    page.get_by_role("button", name="Show older").click()
    expect(page.locator("tbody tr")).to_have_count(120)

    expect(page.get_by_role("button", name="Show older")).to_be_hidden()
    names = page.locator("tbody .trace-name").all_inner_texts()
    assert names == [f"request {number}" for number in reversed(range(120))]


def test_new_traces_appear_by_themselves(page: Page, server: Server):
    """A newcomer sends a first trace and watches for it."""
    page.goto(server.login_link("/traces?user_id=newcomer"))
    expect(page.get_by_role("heading", name="No trace matches")).to_be_visible()

    server.send(demo_trace(user_id="newcomer").body())
    expect(page.locator("tbody tr")).to_have_count(1)


def test_a_newcomer_is_told_how_to_send_the_first_trace(page: Page, server: Server):
    """An empty table says nothing."""
    page.goto(server.login_link("/traces?project=nothing-yet"))

    expect(page.get_by_role("heading", name="No traces yet")).to_be_visible()
    expect(page.locator(".sorry pre")).to_contain_text(f'clew.configure(endpoint="{server.url}")')


def test_a_trace_that_is_not_there_is_said_to_be_so(page: Page, server: Server, watch: Watch):
    """An old link, or a trace that is still on its way."""
    watch.expected = ["status of 404"]
    page.goto(server.login_link(f"/traces/{'ab' * 16}"))

    expect(page.get_by_role("alert")).to_contain_text(f"No trace {'ab' * 16} is stored")


def test_percentiles_are_shown_by_name(page: Page, server: Server):
    """The strip above the list leads to the latency view."""
    server.send(demo_trace().body())
    page.goto(server.login_link())
    page.locator(".strip a", has_text="generation").click()

    operation = page.get_by_role("row").filter(has_text="ChatOpenAI")
    expect(operation).to_contain_text(re.compile(r"1\.1\d s"))
    expect(operation.get_by_role("img")).to_have_attribute("aria-label", re.compile("p50 1.1. s, p95"))


@pytest.mark.parametrize("span_count", [5_000])
def test_a_big_trace_opens_at_once_in_few_elements(page: Page, server: Server, span_count: int):
    """A trace of tens of thousands of spans has hung other pages."""
    made = big_trace(span_count)
    server.send(made.body())
    page.goto(server.login_link("/traces?user_id=nobody"))
    expect(page.get_by_role("navigation")).to_be_visible()
    began = time.monotonic()
    page.goto(f"{server.url}/#/traces/{made.trace_id}")
    expect(row(page, "step 1")).to_be_visible()
    took_s = time.monotonic() - began
    page.keyboard.press("End")
    expect(page.get_by_role("treeitem", selected=True)).to_be_in_viewport()

    assert page.evaluate("document.getElementsByTagName('*').length") < MOST_DOM_NODES
    assert took_s < 6


def test_a_very_deep_trace_stays_readable(page: Page, server: Server):
    """Recursion on the page would end in an error; indentation without end, in an empty column."""
    made = Tracer()
    parent: str | None = None
    for depth in range(3_000):
        parent = made.span(f"level {depth}", "chain", parent, 0, 3_000 - depth)
    server.send(made.body())
    page.goto(server.login_link(f"/traces/{made.trace_id}?span={parent}"))

    expect(page.get_by_role("treeitem", selected=True)).to_contain_text("level 2999")
    expect(row(page, "level 2999").locator(".label")).to_be_in_viewport()
