"""What compose and the Dockerfile name is what the code has: commands, options, variables, files."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from hposvc.cli import app
from hposvc.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
OURS = {name: service for name, service in COMPOSE["services"].items() if "build" in service}
VARIABLES = {f"HPOSVC_{name.upper()}" for name in Settings.model_fields}


def docker_commands() -> list[list[str]]:
    return [yaml.safe_load(line) for line in re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)]


@pytest.mark.parametrize(
    "command", [service["command"] for service in OURS.values()] + docker_commands(), ids=shlex.join
)
def test_every_command_is_one_of_ours_with_options_that_it_has(command: list[str]) -> None:
    words = [word for word in command if re.fullmatch(r"[a-z]+", word)]
    options = [word for word in command if word.startswith("--")]
    help_ = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "200"})
    assert help_.exit_code == 0, help_.output
    for option in options:
        assert option in help_.output


def test_every_variable_is_a_setting() -> None:
    named = {name for service in OURS.values() for name in service.get("environment", {})}
    named |= set(re.findall(r"HPOSVC_[A-Z_]+", DOCKERFILE))
    secrets = {name.upper() for service in OURS.values() for name in service.get("secrets", [])}
    assert named | secrets <= VARIABLES
    assert secrets == {"HPOSVC_DATABASE_URL"}


def test_what_services_refer_to_is_declared() -> None:
    stages = set(re.findall(r"^FROM \S+ AS (\w+)$", DOCKERFILE, re.MULTILINE))
    for service in COMPOSE["services"].values():
        assert set(service.get("secrets", [])) <= COMPOSE["secrets"].keys()
        assert set(service.get("depends_on", {})) <= COMPOSE["services"].keys()
        volumes = {volume.split(":")[0] for volume in service.get("volumes", [])}
        assert volumes <= COMPOSE["volumes"].keys()
        assert "build" not in service or service["build"]["target"] in stages


def test_the_service_is_published_on_this_machine_only() -> None:
    published = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_the_worker_s_host_name_is_fixed_and_it_has_time_to_stop() -> None:
    worker = COMPOSE["services"]["worker"]
    assert worker["hostname"]
    assert int(worker["stop_grace_period"].removesuffix("s")) > 30
    assert any(volume.endswith("/.cache") for volume in worker["volumes"])


def test_what_the_images_copy_is_there() -> None:
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists(), source


def test_no_process_of_the_images_is_root() -> None:
    final = {"api", "worker"}
    for stage in re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]:
        name = stage.split(" AS ")[1].split()[0]
        users = re.findall(r"^USER (\w+)$", stage, re.MULTILINE)
        assert name not in final or not users or users[-1] == "hposvc"


def test_a_secret_file_is_read_as_a_setting(tmp_path: Path) -> None:
    (tmp_path / "hposvc_database_url").write_text("postgresql+psycopg://hposvc:secret@database/hposvc\n")
    settings = Settings(_secrets_dir=tmp_path)  # type: ignore[call-arg]
    assert settings.database_url == "postgresql+psycopg://hposvc:secret@database/hposvc"
