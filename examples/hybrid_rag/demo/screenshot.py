"""A picture of a trace on the page, for the README. Needs playwright and a Chromium."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from examples.hybrid_rag.demo.processes import DemoError

WIDTH_PX, HEIGHT_PX = 1280, 800


def take(link: str, path: Path) -> None:
    """
    Open *link* in headless Chromium and write what it shows to *path*.

    Raises:
        DemoError: there is no Chromium.
    """
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("CLEW_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise DemoError("the screenshot needs Chromium: install it, or set CLEW_CHROMIUM")
    path.parent.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH_PX, "height": HEIGHT_PX}, device_scale_factor=2)
        page.goto(link)
        page.get_by_text("ChatOpenAI").first.wait_for()
        page.wait_for_load_state("networkidle")
        page.screenshot(path=str(path))
        browser.close()
