"""A real browser: the distribution's Chromium, without a window, driven by Playwright."""

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, expect, sync_playwright

from tests.support.debian import program

SECONDS = 60.0
"""How long a page may take to show something: two cores, a cold server."""


@contextmanager
def page(resolve: dict[str, str] | None = None) -> Iterator[Page]:
    """Open a page; `resolve` maps host names to host:port, as DNS and the ingress' address would."""
    rules = ",".join(f"MAP {host} {where}" for host, where in (resolve or {}).items())
    # Chromium refuses its sandbox to root.
    flags = ["--no-sandbox", "--disable-gpu", *([f"--host-resolver-rules={rules}"] if rules else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program("chromium", "chromium"), args=flags)
        try:
            opened = browser.new_page(viewport={"width": 1400, "height": 900})
            opened.set_default_timeout(SECONDS * 1000)
            expect.set_options(timeout=SECONDS * 1000)
            # MLflow opens a panel of its own on the first visit.
            opened.add_init_script("localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true')")
            yield opened
        finally:
            browser.close()
