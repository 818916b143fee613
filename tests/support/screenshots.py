"""Pictures of every page and state, light and dark, wide and narrow: ``python -m tests.support.screenshots FOLDER``.

With ``kept`` after the folder, only those that the documentation keeps.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Literal

import httpx
from PIL import Image
from playwright.sync_api import Browser, FloatRect, ViewportSize, sync_playwright

from hposvc.db import migrate
from hposvc.fleet.workers import Fleet, WorkerReport
from hposvc.jobs.service import Jobs
from hposvc.schema.job import JobError
from tests.support.browser import CHROMIUM, REMEDY
from tests.support.experimenting import staged
from tests.support.reviewing import judged_job
from tests.support.serving import (
    GROUPS,
    RESULT,
    STRENGTHS,
    Server,
    checkpoint,
    diverged,
    running,
    strengths,
    submit,
    succeeded,
    watch_lambda,
    weights_of_groups,
    weights_of_rows,
)

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
SIZES = {"wide": (1280, 800), "narrow": (390, 844)}
TALLEST = 2400  # pixels of a page that are shown
KEPT = {
    "compare-wide-dark",
    "datasets-wide-light",
    "empty-wide-light",
    "job-diverged-wide-light",
    "job-failed-wide-light",
    "job-lost-wide-dark",
    "job-queued-wide-light",
    "job-running-wide-dark",
    "job-strengths-wide-light",
    "job-succeeded-narrow-dark",
    "job-succeeded-wide-light",
    "job-paged-wide-light",
    "review-wide-light",
    "jobs-narrow-dark",
    "jobs-wide-light",
}
DIGITS = {"id": "sklearn:digits", "label_noise": {"rate": 0.6}}
SETTLED = """() => document.querySelector("#review")
  ? document.querySelector("#row h2")
  : document.querySelector("#spec").textContent && (document.querySelector("#about").textContent.includes("Queued")
  || [...document.querySelectorAll(".plot > .waiting")].every(({ offsetParent }) => offsetParent === null))"""


def stage(server: Server) -> dict[str, str]:
    """A service with a job in each state that a person meets; the paths of the pages to show."""
    engine = server.engine
    folder = server.settings.data_dir
    groups = succeeded(engine, GROUPS, [weights_of_groups(folder)], name="a weight for each annotator")
    tuned, attempt = running(
        engine,
        500,
        name="one strength per feature",
        kind="regularization_tuning",
        dataset={"id": "sklearn:breast_cancer"},
        tags=["baseline"],
    )
    watch_lambda(attempt, range(0, 501, 20), "features")
    attempt.succeed(STRENGTHS, [strengths(folder)])
    answer, attempt = running(
        engine, 500, name="digits with wrong labels", dataset=DIGITS, tags=["digits", "noise 60 %"]
    )
    watch_lambda(attempt, range(0, 501, 20))
    attempt.succeed(RESULT, [weights_of_rows(folder)])
    broken = diverged(engine, name="upper step far too large", dataset=DIGITS, tags=["digits"])
    failed, attempt = running(engine, 60, name="too many hidden units", dataset=DIGITS)
    watch_lambda(attempt, range(0, 61, 5))
    words = "The system killed the runner because the machine ran out of memory.", "Set solver.lower.batch_size."
    attempt.fail(JobError(reason="out_of_memory", message=words[0], remedy=words[1]))
    lost, attempt = running(engine, 140, name="on a machine that went away", dataset=DIGITS, max_attempts=1)
    watch_lambda(attempt, range(0, 141, 10))
    words = "No sign of worker-1 for 60 s, three times.", "See whether the machine is up; then retry the job."
    attempt.lose(JobError(reason="worker_lost", message=words[0], remedy=words[1]))
    Jobs(engine).cancel(submit(engine, name="submitted by mistake").id)
    paused, attempt = running(engine, 220, name="waits for the night", dataset=DIGITS)
    watch_lambda(attempt, range(0, 221, 10))
    attempt.checkpoint(checkpoint(folder, 220))
    Jobs(engine).pause(paused.id)
    attempt.stopped()
    live, attempt = running(engine, 180, name="digits, another seed", dataset=DIGITS)
    attempt.phase("solving")
    attempt.checkpoint(checkpoint(folder, 100))
    watch_lambda(attempt, range(0, 181, 10))
    with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as client:
        judged = judged_job(server, client)
    search, repeats = staged(engine)
    queued = submit(engine, name="iris, a long one", stop={"iterations": 100_000})
    Fleet(engine).beat(
        WorkerReport(
            id="worker-1",
            host="gpu-1",
            device="cpu",
            versions={"jittor": "1.3.11.0"},
            state="compiling",
            progress_message="Compiling Jittor: 63 of 150 files",
        ),
    )
    return {
        "jobs": "/",
        "job-running": f"/jobs/{live.id}",
        "job-succeeded": f"/jobs/{answer.id}",
        "job-groups": f"/jobs/{groups.id}",
        "job-strengths": f"/jobs/{tuned.id}",
        "job-diverged": f"/jobs/{broken.id}",
        "job-failed": f"/jobs/{failed.id}",
        "job-lost": f"/jobs/{lost.id}",
        "job-queued": f"/jobs/{queued.id}",
        "job-paused": f"/jobs/{paused.id}",
        "job-paged": f"/jobs/{paused.id}?values=all&from=20&to=120",
        "review": f"/jobs/{judged}/review",
        "experiments": "/experiments",
        "experiment-search": f"/experiments/{search}",
        "experiment-repeats": f"/experiments/{repeats}",
        "compare": f"/compare?jobs={answer.id},{live.id},{broken.id}",
        "new": "/new",
        "datasets": "/datasets",
        "workers": "/workers",
        "login": "/login",
        "glossary": "/glossary",
    }


def shoot(browser: Browser, server: Server, pages: dict[str, str], folder: Path, kept: Collection[str] = ()) -> None:
    """One picture per page, size and colour scheme; only those named by ``kept``, if any are."""
    for size, (width, height) in SIZES.items():
        for scheme in SCHEMES:
            viewport: ViewportSize = {"width": width, "height": height}
            context = browser.new_context(base_url=server.url, viewport=viewport, color_scheme=scheme, locale="en-US")
            page = context.new_page()
            for name, path in pages.items():
                if kept and f"{name}-{size}-{scheme}" not in kept:
                    continue
                page.goto(path)
                page.wait_for_function("() => document.querySelector('main').innerText.length > 40")
                if path.startswith("/jobs/"):
                    page.wait_for_function(SETTLED)
                page.wait_for_timeout(500)  # fonts and the last frame of the charts
                whole = size == "wide" or name == "jobs"
                below = page.evaluate("document.documentElement.scrollHeight")
                clip: FloatRect = {"x": 0, "y": 0, "width": width, "height": min(below, TALLEST) if whole else height}
                picture = folder / f"{name}-{size}-{scheme}.png"
                page.screenshot(path=picture, full_page=True, clip=clip)
                Image.open(picture).convert("RGB").quantize(256).save(picture, optimize=True)  # a third of the size
            context.close()


def main(folder: Path, kept: Collection[str] = ()) -> None:
    """Write the pictures into ``folder``."""
    if not CHROMIUM:
        sys.exit(REMEDY)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data, sync_playwright() as playwright:
        url = f"sqlite:///{data}/hposvc.sqlite3"
        migrate.upgrade(url)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        with Server(url, Path(data)) as server:
            empty = {"empty": "/"}
            shoot(browser, server, empty, folder, kept)
            shoot(browser, server, stage(server), folder, kept)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), KEPT if sys.argv[2:] == ["kept"] else ())
