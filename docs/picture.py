"""Takes the README's picture with a real browser, from the last job of ``make demo``."""

from __future__ import annotations

import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from hposvc.client import Client
from hposvc.operate.embedded import Embedded
from hposvc.settings import Settings

PICTURE = Path(__file__).parent / "images" / "demo.png"
DEMO = Path(".hposvc/demo")
DRAWN = """() => document.querySelectorAll(".js-plotly-plot .main-svg").length
  && document.querySelector("#spec").textContent  // which the page asks for last
  && [...document.querySelectorAll(".plot > .waiting")].every(({ offsetParent }) => offsetParent === null)"""


def main() -> None:
    """Start the service on the demonstration's data and photograph its job."""
    settings = Settings(data_dir=DEMO, port=0)
    with Embedded(settings, log_dir=settings.data_dir / "logs") as service, sync_playwright() as playwright:
        with Client(service.url) as client:
            job = next(client.jobs(state="succeeded"))
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.goto(service.url + job.links.dashboard)
        page.wait_for_function(DRAWN)
        page.screenshot(path=PICTURE, full_page=True, clip={"x": 0, "y": 0, "width": 1280, "height": 1740})
        browser.close()
    Image.open(PICTURE).convert("RGB").quantize(256).save(PICTURE, optimize=True)  # a third of the size


if __name__ == "__main__":
    main()
