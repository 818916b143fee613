"""Takes the pictures of the documentation with a real browser, from the data of ``make demo``: ``make screenshots``."""

from __future__ import annotations

import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

from hposvc.client import Client
from hposvc.embedded import Embedded
from hposvc.settings import Settings

IMAGES = Path(__file__).parent / "images"
DEMO = Path(".hposvc/demo")


def main() -> None:
    """One picture of the jobs and one of the demonstration's last job."""
    IMAGES.mkdir(exist_ok=True)
    settings = Settings(data_dir=DEMO, port=0)
    with Embedded(settings, log_dir=settings.data_dir / "logs") as service, sync_playwright() as playwright:
        with Client(service.url) as client:
            job = next(client.jobs(state="succeeded"))
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900}, device_scale_factor=1.5)
        for name, path in (("jobs", "/"), ("job", job.links.dashboard)):
            page.goto(service.url + path)
            page.get_by_text(job.name or job.id).first.wait_for()
            if name == "job":
                page.locator(".js-plotly-plot .main-svg").first.wait_for()
            page.screenshot(path=IMAGES / f"{name}.png", full_page=name == "job")
        browser.close()


if __name__ == "__main__":
    main()
