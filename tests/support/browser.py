"""Debian's Chromium, driven by Playwright: windows that are signed in to Airflow, and what went wrong in them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

__all__ = ["Session", "Window", "find_chromium", "open_window", "running_chromium", "sign_in"]

_PATIENCE = 20_000  # milliseconds


def find_chromium() -> str | None:
    """The system's own, or ``None``."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def running_chromium(path: str) -> Iterator[Browser]:
    """A browser without a window, until the block's end."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@dataclass
class Window:
    """One tab, and everything that it has complained about."""

    page: Page
    url: str  # Airflow's
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(_PATIENCE)
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(f"a dialog: {dialog.message}"))

    def _hear(self, said: ConsoleMessage) -> None:
        if said.type == "error":
            self.complaints.append(f"{said.text} ({said.location.get('url')})")

    def open(self, path: str) -> None:
        """Go to a place below Airflow's address, and wait for the page."""
        self.page.goto(f"{self.url}{path}")
        self.page.wait_for_selector("[data-cloudindex] h1")

    def text(self) -> str:
        """What the page shows."""
        return self.page.locator("[data-cloudindex]").inner_text()

    def wait_for(self, text: str) -> None:
        """Until the page shows it."""
        self.page.locator("[data-cloudindex]", has_text=re.compile(re.escape(text))).wait_for()

    def click(self, role: Any, name: str) -> None:
        self.page.locator("[data-cloudindex]").get_by_role(role, name=name).first.click()

    def violations(self) -> list[str]:
        """What axe-core finds that is serious."""
        found = Axe().run(self.page, context="[data-cloudindex]").response
        assert found["passes"], "axe has looked at nothing"
        return [
            f"{one['id']}: {node['html'][:200]}"
            for one in found["violations"] if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]  # fmt: skip


Session = Any  # Playwright's own shape of cookies


def sign_in(browser: Browser, url: str, user: str, password: str) -> Session:
    """Fill in Airflow's own form; gives what the browser keeps of it."""
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(_PATIENCE)
    page.goto(f"{url}/auth/login/?next={url}/")
    page.locator("input[name=username]").fill(user)
    page.locator("input[name=password]").fill(password)
    page.locator("button[type=submit]").click()
    page.get_by_role("link", name="Dags").first.wait_for()
    kept = context.storage_state()
    context.close()
    return kept


def open_window(
    browser: Browser, url: str, session: Session, *, theme: Any = "light", size: tuple[int, int] = (1500, 950)
) -> Window:
    """A window that is signed in."""
    viewport: Any = {"width": size[0], "height": size[1]}
    context = browser.new_context(viewport=viewport, color_scheme=theme, storage_state=session)
    context.add_init_script(f"localStorage.setItem('theme', '{theme}')")
    return Window(context.new_page(), url)
