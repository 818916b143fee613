"""Settings: which place wins, what is hidden, what a child process gets."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from hposvc.settings import Settings


def test_the_database_and_the_store_lie_in_the_data_directory(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert settings.database_url == f"sqlite:///{tmp_path}/hposvc.sqlite3"
    assert settings.store_url == f"file://{tmp_path}/store"


def test_the_environment_wins_over_the_dotenv_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("HPOSVC_PORT=1111\nHPOSVC_HOST=localhost\nUNRELATED=1\n")
    monkeypatch.setenv("HPOSVC_PORT", "2222")
    assert (Settings().port, Settings().host) == (2222, "localhost")
    origins = Settings.origins()
    assert (origins["port"], origins["host"], origins["store_url"]) == ("environment", ".env", "default")


def test_the_data_directory_may_come_from_the_dotenv_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HPOSVC_DATA_DIR")
    Path(".env").write_text(f"HPOSVC_DATA_DIR={tmp_path / 'elsewhere'}\n")
    assert Settings().database_url == f"sqlite:///{tmp_path / 'elsewhere'}/hposvc.sqlite3"


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPOSVC_DATABASE_URL", "")
    assert Settings().database_url.startswith("sqlite:///")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://hposvc:hunter2@db/hposvc",
        "postgresql+psycopg://db/hposvc?user=hposvc&password=hunter2&sslmode=require",
        "s3://bucket/prefix?secret_access_key=hunter2",
    ],
)
def test_passwords_are_not_shown(url: str) -> None:
    settings = Settings(database_url=url)
    assert "hunter2" not in repr(settings)
    shown = next(row["value"] for row in settings.described() if row["variable"] == "HPOSVC_DATABASE_URL")
    assert "hunter2" not in shown
    assert "***" in shown


def test_a_child_gets_the_same_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "x", port=0, trust_network=True, log_format="json")
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


@pytest.mark.parametrize("wrong", [{"port": 70_000}, {"log_level": "loud"}, {"url": "localhost:8080"}])
def test_nonsense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Settings.model_validate(wrong)
