"""`make screenshots`: the page in Airflow's UI as it is, light and dark, into docs/images.

Starts a real Airflow with a made-up company's syncs and takes pictures of it in the system's Chromium.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Browser

from programs.screenshots.scene import Scene, running_scene
from tests.support.browser import Window, find_chromium, open_window, running_chromium, sign_in

ROOT = Path(__file__).parents[2]
THEMES = ("light", "dark")
PLACE = "/plugin/cloudindex"


def places(scene: Scene) -> Iterator[tuple[str, str, str]]:
    """(the picture's name, the place, a text that is there when the page is)."""
    handbook, contracts = scene.source("acme-company"), scene.source("acme-legal")
    yield "overview", PLACE, "acme-company"
    yield "sync", f"{PLACE}?sync={handbook}", "Show keys"
    yield "runs", f"{PLACE}?sync={handbook}&view=runs", "Documents by outcome"
    yield (
        "key",
        f"{PLACE}?sync={handbook}&key={quote('handbook/finance/invoice-template.pdf', safe='')}",
        "What happened",
    )
    yield "held", f"{PLACE}?sync={contracts}", "Approve up to"
    yield "plan", f"{PLACE}?sync={scene.source('acme-sales')}&view=plan", "Run exactly this"


def take(scene: Scene, browser: Browser, folder: Path) -> None:
    """A picture of every place in every theme."""
    folder.mkdir(parents=True, exist_ok=True)
    session = sign_in(browser, scene.airflow.url, "admin", scene.airflow.password)
    for theme in THEMES:
        window = open_window(browser, scene.airflow.url, session, theme=theme, size=(1400, 860))
        for name, place, text in places(scene):
            picture = folder / f"page-{name}-{theme}.png"
            _take(window, place, text, picture)
            print(picture, flush=True)
        window.page.context.close()
        if window.complaints:
            raise SystemExit(f"The browser complained: {window.complaints}")


def _take(window: Window, place: str, text: str, picture: Path) -> None:
    window.open(place)
    window.wait_for(text)
    window.page.evaluate("document.fonts.ready")
    window.page.screenshot(path=picture, animations="disabled")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=ROOT / ".demo" / "screenshots", help="emptied first")
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--keep", action="store_true", help="leave the UI up until Ctrl-C")
    options = parser.parse_args()
    path = find_chromium()
    if path is None:
        print("Chromium is missing: apt-get install chromium")
        return 1
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # moto's access log
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    with running_scene(options.home.absolute()) as scene:
        scene.make()
        scene.begin_work()
        with running_chromium(path) as browser:
            take(scene, browser, options.to)
        if options.keep:
            print(f"{scene.airflow.url}  user: {scene.airflow.user}  password: {scene.airflow.password}", flush=True)
            signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main())
