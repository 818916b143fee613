"""The settings: environment variables that start with ``HPOSVC_``, a ``.env`` file, and secrets as files."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

SECRETS_DIRECTORY = Path("/run/secrets")  # where Docker, Podman and Kubernetes mount secrets as files

# What is secret in a URL: the password before the host, and query parameters named like one.
SECRET = re.compile(r"(?P<before>://[^/@:]*:|[?&][^=&]*(?:password|secret|key|token)[^=&]*=)[^@&]+", re.IGNORECASE)


def default_data_dir() -> Path:
    """``hposvc`` below the user's data directory, as the XDG base directory specification has it."""
    return Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser() / "hposvc"


def _shown(name: str, value: object) -> object:
    """``value`` without its secrets."""
    if name == "key":
        return "***" if value else ""
    return SECRET.sub(r"\g<before>***", value) if isinstance(value, str) else value


class Settings(BaseSettings):
    """What can be set from outside. Every field has a default that works on one machine with nothing prepared.

    The first place that names a setting wins: keyword arguments, the environment, ``.env`` in the working directory,
    a file in ``/run/secrets`` named like the variable in lower case, the default.
    """

    model_config = SettingsConfigDict(
        env_prefix="HPOSVC_",
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        secrets_dir=SECRETS_DIRECTORY if SECRETS_DIRECTORY.is_dir() else None,
        extra="ignore",  # .env may hold the variables of other programs
        frozen=True,
    )

    data_dir: Path = Field(
        default_factory=default_data_dir,
        description="Directory of the SQLite database, the artifacts and the address of the running server.",
    )
    database_url: str = Field(
        default="",
        repr=False,
        description="SQLAlchemy URL: sqlite:///… or postgresql+psycopg://…; by default a SQLite file in data_dir.",
    )
    store_url: str = Field(
        default="",
        repr=False,
        description="fsspec URL of the artifact store: file:///… or s3://…; by default a folder in data_dir.",
    )
    host: str = Field(default="127.0.0.1", description="Address that the API listens on.")
    port: int = Field(default=8080, ge=0, le=65535, description="Port that the API listens on; 0 takes a free one.")
    root_path: str = Field(
        default="",
        pattern=r"^(/[A-Za-z0-9._~-]+)*$",
        description="Path under which a proxy has the service, such as /hposvc; by default it stands at the top of its "
        "host. The proxy may take it off or leave it.",
    )
    trust_network: bool = Field(
        default=False,
        description="Listen on an address other than loopback although no key was made: "
        "until one is, everybody who can reach the port can use the service. Names are checked all the same: "
        "see HPOSVC_HOSTS.",
    )
    key: str = Field(
        default="",
        repr=False,
        description="Key that the commands show to the server. Never an option: options can be seen in `ps`.",
    )
    hosts: str = Field(
        default="",
        description="Names under which the API is reached, separated by commas: hposvc.example.org. Requests for other "
        "names than these, this machine's own and loopback's are refused; IP addresses are served beyond loopback.",
    )
    quota_queued_jobs: int | None = Field(
        default=10_000,
        ge=0,
        description="How many jobs a tenant may have waiting; a limit of the tenant's own goes first.",
    )
    quota_running_jobs: int | None = Field(
        default=None,
        ge=0,
        description="How many jobs of a tenant may run at once; more of them wait. By default any number.",
    )
    quota_stored_bytes: int | None = Field(
        default=None,
        ge=0,
        description="Bytes that the specs of a tenant, its data sets and the files of its jobs may take. By default "
        "any number.",
    )
    quota_requests_per_second: float | None = Field(
        default=50,
        gt=0,
        description="Requests per second that a tenant may send to one API process, ten times as many at once. "
        "Only counted once a key was made.",
    )
    max_streams: int = Field(
        default=500, ge=0, description="How many event streams and waiting requests one API process holds open."
    )
    webhooks_private: bool = Field(
        default=False,
        description="Let webhooks lead to private and loopback addresses, and to http. Whoever may add webhooks can "
        "then reach the service's own network.",
    )
    max_upload_bytes: int = Field(
        default=2**30, ge=1, description="The largest file that may be uploaded as a data set, in bytes."
    )
    lease_seconds: float = Field(
        default=60,
        ge=1,
        description="Seconds for which a silent worker keeps its job, before another one takes the job over.",
    )
    memory_limit_gib: float | None = Field(
        default=None,
        gt=0,
        description="How much memory a job may take on a worker, in GiB, before it is ended as out of memory; by "
        "default as much as there is.",
    )
    device: Literal["cpu", "cuda"] = Field(
        default="cpu",
        description="What a worker's jobs are computed on. cuda needs the driver of an NVIDIA GPU, and CUDA 12 or 13: "
        "`pip install 'hposvc[cuda]'` (`hposvc doctor` says what is missing). It was run on a stand-in for CUDA, and "
        "not on a GPU yet. Jobs in float64 are computed on the CPU.",
    )
    capabilities: Literal["cpu", "cuda", "cuda,cpu"] | None = Field(
        default=None,
        description="Which jobs a worker takes besides those that leave the device to it; by default cpu for "
        "HPOSVC_DEVICE=cpu, and cuda,cpu for cuda. With workers of both kinds, cuda keeps the GPUs free for jobs that "
        "ask for one.",
    )
    metrics_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Port on which a worker serves its own /metrics; none by default, 0 takes a free one. With --gpus, "
        "each worker takes the next one. (The API serves /metrics on its own port.)",
    )
    metrics_host: str = Field(default="127.0.0.1", description="Address on which a worker serves its own /metrics.")
    retention_days: float | None = Field(
        default=None,
        gt=0,
        description="Days for which finished jobs are kept, with their iterations and files; by default for ever.",
    )
    url: str | None = Field(
        default=None,
        description="Server that the commands speak to; by default the one running on this data_dir.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severe messages that are logged."
    )
    log_format: Literal["console", "json"] = Field(
        default="console", description="Log lines for people (console), or one JSON object per line (json)."
    )

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("url")
    @classmethod
    def _http(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return value.rstrip("/") if value else None

    @field_validator("capabilities")
    @classmethod
    def _offered_by_the_device(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value and "cuda" in value and info.data.get("device") != "cuda":
            raise ValueError("cuda can only be offered with HPOSVC_DEVICE=cuda")
        return value

    @model_validator(mode="before")
    @classmethod
    def _below_data_dir(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Fill in the two URLs that depend on ``data_dir``."""
        data_dir = Path(values.get("data_dir") or default_data_dir()).expanduser().absolute()
        values.setdefault("database_url", f"sqlite:///{data_dir / 'hposvc.sqlite3'}")
        values.setdefault("store_url", (data_dir / "store").as_uri())
        return values

    @property
    def offers(self) -> list[str]:
        """The devices that a worker computes on, its own one first."""
        return (self.capabilities or {"cpu": "cpu", "cuda": "cuda,cpu"}[self.device]).split(",")

    @property
    def server_file(self) -> Path:
        """Where a running server leaves its address for the commands on the same machine."""
        return self.data_dir / "server.json"

    def environment(self) -> dict[str, str]:
        """The same settings as variables, for a child process."""
        values = self.model_dump(mode="json", exclude_none=True, exclude={"key"})  # the commands' own affair
        return {f"HPOSVC_{name.upper()}": str(value) for name, value in values.items()}

    def described(self) -> list[dict[str, Any]]:
        """Every setting as ``variable``, ``value``, ``origin`` and ``description``; passwords and keys are hidden."""
        origins = self.origins()
        return [
            {
                "variable": f"HPOSVC_{name.upper()}",
                "value": _shown(name, value),
                "origin": origins[name],
                "description": type(self).model_fields[name].description,
            }
            for name, value in self.model_dump(mode="json").items()
        ]

    @classmethod
    def origins(cls) -> dict[str, str]:
        """Where each setting comes from: ``environment``, ``.env``, ``secret file`` or ``default``."""
        origins = dict.fromkeys(cls.model_fields, "default")
        sources: list[tuple[str, PydanticBaseSettingsSource]] = [
            ("secret file", SecretsSettingsSource(cls)),
            (".env", DotEnvSettingsSource(cls)),
            ("environment", EnvSettingsSource(cls)),
        ]
        for origin, source in sources:  # the strongest last
            origins |= dict.fromkeys(cls.model_fields.keys() & source().keys(), origin)
        return origins
