"""Pages and their files. Files are served under a path that holds their version, so browsers keep them for ever."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from importlib import metadata
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from api.problem_details import TYPES, Problem
from hposvc.jobs.states import State

HERE = Path(__file__).parent
STATIC = HERE / "static"
PAGES = {"/": "Jobs", "/new": "New job", "/datasets": "Datasets", "/workers": "Workers", "/docs": "API"}

environment = Environment(
    loader=PackageLoader("api.dashboard"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
environment.filters["pretty"] = lambda value: json.dumps(value, indent=2, ensure_ascii=False)


class VersionedFiles(StaticFiles):
    """Files whose path changes with their content: what was fetched once need never be asked for again."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, to be kept for a year."""
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def _version(folder: Path) -> str:
    """A short hash of all files below ``folder``."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def install(app: FastAPI) -> None:
    """Add the pages, their files, and plotly.js out of the plotly package."""
    static = f"/static/{_version(STATIC)}"
    plotly = f"/static/plotly-{metadata.version('plotly')}"
    app.mount(static, VersionedFiles(directory=STATIC), name="static")
    app.mount(plotly, VersionedFiles(directory=str(files("plotly") / "package_data")), name="plotly")
    links = {"static": static, "plotly": f"{plotly}/plotly.min.js", "pages": PAGES}

    def page(template: str, path: str, **values: object) -> HTMLResponse:
        text = environment.get_template(template).render(links, page=path, **values)
        return HTMLResponse(text, headers={"Cache-Control": "no-cache"})

    def always(template: str, path: str) -> Callable[[], HTMLResponse]:
        def show() -> HTMLResponse:
            return page(template, path)

        return show

    @app.get("/", include_in_schema=False)
    def jobs() -> HTMLResponse:
        return page("jobs.html", "/", states=list(State))

    @app.get("/jobs/{job_id}", include_in_schema=False)
    def job(job_id: str) -> HTMLResponse:
        return page("job.html", "/", job_id=job_id)

    for path in ("/new", "/datasets", "/workers", "/login"):
        app.get(path, include_in_schema=False)(always(f"{path[1:]}.html", path))

    @app.get("/docs", include_in_schema=False)
    def docs(request: Request) -> HTMLResponse:
        return page("docs.html", "/docs", api=app.openapi(), origin=str(request.base_url).rstrip("/"))

    @app.get("/problems/{slug}", include_in_schema=False)
    def problem(slug: str) -> HTMLResponse:
        if slug not in TYPES:
            raise Problem("not-found", f"There is no kind of problem called {slug!r}.")
        return page("problem.html", "/problems", problem=TYPES[slug])
