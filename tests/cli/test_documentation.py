"""The documentation says what the code does."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import typer.main
import yaml
from typer.testing import CliRunner

from hposvc.cli import app
from hposvc.schema.experiment_spec import ExperimentSpec
from hposvc.schema.spec import JobSpec
from hposvc.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md")]
by_name = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def test_the_reference_is_what_the_code_says() -> None:
    specification = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert specification is not None
    assert specification.loader is not None
    generate = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(generate)
    for name, page in generate.PAGES.items():
        assert (ROOT / "docs" / "reference" / name).read_text() == page(), "run `make docs`"


def test_every_option_of_every_command_has_a_help() -> None:
    def walk(command: Any, path: str) -> None:
        for parameter in command.get_params(click.Context(command)):
            assert getattr(parameter, "help", None), f"{path}: {parameter.name}"
            assert not parameter.help.startswith("{"), f"{path}: {parameter.name}"
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, f"{path} {name}")

    walk(typer.main.get_command(app), "hposvc")


def test_every_setting_says_what_it_means() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for page in (tmp_path / "site").rglob("*.html"):
        assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="https?://', page.read_text()), page


@by_name
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@by_name
def test_jobs_in_the_text_are_valid(page: Path) -> None:
    for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL):
        document = yaml.safe_load(block)
        (ExperimentSpec if "plan" in document else JobSpec).model_validate(document)


@by_name
def test_commands_in_the_text_exist(page: Path) -> None:
    shell = "".join(re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL))
    for line in re.findall(r"^(?:\.venv/bin/)?hposvc ([^\n#|>]*)", shell, re.MULTILINE):
        command, *words = line.split("--")[0].split() or ["--version"]
        groups = {group.name for group in app.registered_groups}
        called = [command, *words[:1]] if command in groups else [command]
        help_ = CliRunner().invoke(app, [*called, "--help"], env={"COLUMNS": "200"})
        assert help_.exit_code == 0, line
        for option in re.findall(r"--[a-z-]+", line):
            assert option in help_.output, line


@by_name
def test_variables_in_the_text_are_settings(page: Path) -> None:
    known = {f"HPOSVC_{name.upper()}" for name in Settings.model_fields} | {
        "HPOSVC_TEST_CHROMIUM",
        "HPOSVC_TEST_POSTGRESQL_BIN",
    }
    assert set(re.findall(r"HPOSVC_[A-Z_]+[A-Z]", page.read_text())) <= known


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.stem)
def test_examples_are_valid(example: Path) -> None:
    JobSpec.model_validate(yaml.safe_load(example.read_text()))


def test_the_licence_of_everything_that_is_needed_is_listed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    listed = dict(
        re.findall(r"^\| (\S+) \| \S+ \| (.+) \|$", (ROOT / "docs/reference/licences.md").read_text(), re.MULTILINE)
    )
    for requirement in [*project["dependencies"], *extras["excel"], *extras["otel"], *extras["s3"]]:
        name = re.match(r"[\w-]+", requirement)
        assert name is not None
        assert listed.get(name[0], "unknown") != "unknown", f"{requirement}: run `make licences`"
