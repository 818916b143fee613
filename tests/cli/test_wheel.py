"""The wheel carries everything: installed elsewhere, without the checkout, the service starts from it."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.support.environment import without_settings

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT], check=True
    )
    return next(folder.glob("*.whl"))


def test_pages_migrations_examples_and_types_are_inside(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    for package in ("hposvc", "api", "workers", "migrations"):
        checkout = {
            path.relative_to(ROOT).as_posix()
            for path in (ROOT / package).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        assert checkout <= packed, f"{sorted(checkout - packed)} are missing from the wheel"
    assert {f"hposvc/examples/{path.name}" for path in (ROOT / "examples").glob("*.yaml")} <= packed
    assert not {name for name in packed if name.startswith(("tests/", "benchmarks/"))}


def install(wheel: Path, home: Path, *, without: tuple[str, ...] = ()) -> Path:
    """An environment with the wheel and what it depends on, but for packages ``without``; returns its Python."""
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    # what it depends on is taken from this environment: downloading it again would test the index, not the wheel
    here, there = (
        Path(
            subprocess.run(
                [interpreter, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"],
                capture_output=True,
                text=True,
                check=True,
            ).stdout.strip()
        )
        for interpreter in (sys.executable, python)
    )
    command = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", wheel]
    subprocess.run(command, check=True)
    for entry in here.iterdir():
        ours = "hposvc" in entry.name or entry.suffix == ".pth" or (there / entry.name).exists()
        if not ours and not entry.name.startswith(without):
            (there / entry.name).symlink_to(entry)
    return python


def run_outside(python: Path, tmp_path: Path, script: str) -> None:
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    (outside / "api").mkdir()  # somebody's own folder of that name is not ours
    (outside / "api" / "__init__.py").write_text("raise SystemExit('wrong api')")
    variables = without_settings(HPOSVC_DATA_DIR=str(tmp_path / "data"))
    variables.pop("PYTHONPATH", None)
    run = subprocess.run(
        [python, "-P", "-c", script],
        cwd=outside,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == 0, run.stdout + run.stderr


SERVE = """
import re, sys
import httpx
from hposvc.operate.embedded import Embedded, upgrade_database
from hposvc.settings import Settings
import hposvc, migrations
assert sys.prefix in hposvc.__file__ and sys.prefix in migrations.__file__, hposvc.__file__
from hposvc.cli.demo import EXAMPLE, example
assert example(EXAMPLE)
settings = Settings(port=0)
service = Embedded(settings)
upgrade_database(settings)
service._spawn("api")
try:
    url = service._wait_for_api()
    page = httpx.get(url + "/", timeout=60)
    assert page.status_code == 200 and "<html" in page.text, page.text[:300]
    for path in {"/metrics", "/v1/jobs", *re.findall(r'(?:src|href)="(/[^"]+)"', page.text)}:
        answer = httpx.get(url + path, timeout=60)
        assert answer.status_code == 200, (path, answer.status_code)
    spec = {"kind": "data_reweighting", "dataset": {"id": "sklearn:iris"}}
    job = httpx.post(url + "/v1/jobs", json=spec, timeout=60)
    assert job.status_code == 202, job.text
finally:
    service.stop()
"""


def test_it_runs_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    run_outside(install(wheel, tmp_path / "installed"), tmp_path, SERVE)


def test_the_api_runs_without_jittor(wheel: Path, tmp_path: Path) -> None:
    """As in the API's image: see the group ``api`` in pyproject.toml."""
    python = install(wheel, tmp_path / "installed", without=("jittor", "onednn"))
    absent = subprocess.run([python, "-c", "import jittor"], capture_output=True, check=False)
    assert absent.returncode
    run_outside(python, tmp_path, SERVE)
