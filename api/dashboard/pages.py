"""Pages and their files. Files are served under a path that holds their version, so browsers keep them for ever."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from api.http.problem_details import HTTPProblem
from api.http.problem_types import TYPES
from hposvc.schema.states import State

HERE = Path(__file__).parent
STATIC = HERE / "static"
VENDOR = HERE / "vendor"
PLOTLY = "plotly-basic-4.1.1.min.js"
PAGES = {
    "/": "Jobs",
    "/experiments": "Experiments",
    "/new": "New job",
    "/datasets": "Data sets",
    "/workers": "Workers",
    "/docs": "API",
}

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


IMPORT = re.compile(r'^(?:import|export) .*?from "\./(\w+)\.js";$', re.MULTILINE)


def _modules(entry: str) -> list[str]:
    """The module ``entry`` and what it imports, directly or not, so that a browser asks for all of them at once."""
    found = [entry]
    for name in found:
        text = (STATIC / "js" / f"{name}.js").read_text(encoding="utf-8")
        found += [other for other in dict.fromkeys(IMPORT.findall(text)) if other not in found]
    return found


def install(app: FastAPI, root: str) -> None:
    """Add the pages, their files, and plotly.js. ``root`` stands before all paths that lead here from outside."""
    mounted = f"/static/{_version(STATIC)}"
    static = root + mounted
    app.mount(mounted, VersionedFiles(directory=STATIC), name="static")
    app.mount("/static/vendor", VersionedFiles(directory=VENDOR), name="vendor")

    @cache
    def module(entry: str) -> Markup:
        script = Markup('<script type="module" src="{}/js/{}.js"></script>').format(static, entry)
        ahead = Markup('<link rel="modulepreload" href="{}/js/{}.js">')
        return Markup("\n").join([*(ahead.format(static, name) for name in _modules(entry)[1:]), script])

    links = {
        "root": root,
        "static": static,
        "plotly": f"{root}/static/vendor/{PLOTLY}",
        "pages": PAGES,
        "module": module,
    }

    def page(template: str, path: str, **values: object) -> HTMLResponse:
        text = environment.get_template(template).render(links, page=path, **values)
        return HTMLResponse(text, headers={"Cache-Control": "no-cache"})

    def plain(template: str, path: str, current: str | None = None, **values: object) -> None:
        """A page that is the same for everybody; ``current`` is the one that stands out in the bar."""
        app.get(path, include_in_schema=False, name=template)(lambda: page(template, current or path, **values))

    plain("jobs.html", "/", states=list(State))
    plain("compare.html", "/compare", current="/")
    plain("experiments.html", "/experiments")
    plain("new.html", "/new")
    plain("datasets.html", "/datasets")
    plain("workers.html", "/workers")
    plain("login.html", "/login")

    @app.get("/glossary", include_in_schema=False)
    def glossary() -> HTMLResponse:
        return page(
            "glossary.html", "/glossary", parts=json.loads((HERE / "glossary.json").read_text(encoding="utf-8"))
        )

    def of_one(template: str, path: str, current: str) -> None:
        """A page about the thing whose id is in its path."""

        def shown(request: Request) -> HTMLResponse:
            return page(template, current, **request.path_params)

        app.get(path, include_in_schema=False, name=template)(shown)

    of_one("job.html", "/jobs/{job_id}", "/")
    of_one("review.html", "/jobs/{job_id}/review", "/")
    of_one("experiment.html", "/experiments/{experiment_id}", "/experiments")

    @app.get("/docs", include_in_schema=False)
    def docs(request: Request) -> HTMLResponse:
        return page("docs.html", "/docs", api=app.openapi(), origin=str(request.base_url).rstrip("/") + root)

    @app.get("/problems/{slug}", include_in_schema=False)
    def problem(slug: str) -> HTMLResponse:
        if slug not in TYPES:
            raise HTTPProblem("not-found", f"There is no kind of problem called {slug!r}.")
        return page("problem.html", "/problems", problem=TYPES[slug])
