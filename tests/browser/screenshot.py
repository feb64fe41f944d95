"""
Take a picture of a trace for the documentation.

    python tests/browser/screenshot.py http://127.0.0.1:4319 KEY TRACE_ID docs/images/trace.png

An optional fifth argument names the span to show beside the waterfall; otherwise it is the model's.
`CLEW_SCREENSHOT_DARK=1` takes the dark one.
"""

from __future__ import annotations

import os
import sys

from browser_driver import open_browser

DEFAULT_SPAN = "ChatOpenAI"


def take(url: str, key: str, trace_id: str, out: str, span_name: str = DEFAULT_SPAN) -> None:
    """Log in, open the trace, choose the span, save the picture."""
    scheme = "dark" if os.environ.get("CLEW_SCREENSHOT_DARK") else "light"
    with open_browser() as browser:
        size = {"width": 1440, "height": 720}
        look = {"color_scheme": scheme, "device_scale_factor": 1.5, "locale": "en-GB"}
        page = browser.new_context(viewport=size, **look).new_page()
        page.goto(f"{url.rstrip('/')}/#/traces/{trace_id}?key={key}")
        page.get_by_role("treeitem").first.wait_for()
        chosen = page.get_by_role("treeitem").filter(has_text=span_name)
        if chosen.count():
            chosen.first.click()
        page.mouse.move(0, 0)
        page.screenshot(path=out)


if __name__ == "__main__":
    if len(sys.argv) not in {5, 6}:
        sys.exit(__doc__)
    take(*sys.argv[1:])
