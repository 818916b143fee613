"""What all commands share: settings, the client, JSON, and errors that a person can mend."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from hposvc.cli.terminal import escaped, visible
from hposvc.faults import Exit, Fault

if TYPE_CHECKING:
    import sqlalchemy as sa
    from pydantic import BaseModel

    from hposvc.client import Client
    from hposvc.settings import Settings

Url = Annotated[str | None, typer.Option(help="The server; by default HPOSVC_URL, or the one on this data directory.")]
DataDir = Annotated[Path | None, typer.Option(help="Database, artifacts, address; by default HPOSVC_DATA_DIR.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]

NO_KEY = "Put a valid key into HPOSVC_KEY, .env or /run/secrets/hposvc_key; `hposvc keys create` makes one."


class Group(TyperGroup):
    """Turns what a person can mend into two lines and an exit status; a traceback is left for defects of ours."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except Fault as fault:
            say_fault(fault)
            raise typer.Exit(fault.code) from fault
        except KeyboardInterrupt as interrupt:
            raise typer.Exit(Exit.INTERRUPTED) from interrupt


def settings(**given: Any) -> Settings:
    """The settings, with the options that were given on the command line on top."""
    from pydantic import ValidationError

    from hposvc.settings import Settings

    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        lines = [f"HPOSVC_{'_'.join(map(str, item['loc'])).upper()}: {item['msg']}" for item in error.errors()]
        raise Fault("\n".join(lines), "`hposvc config` shows where settings come from.", code=Exit.USAGE) from error


@contextmanager
def client_of(url: str | None) -> Iterator[Client]:
    """A client of the server that is meant, whose errors become faults."""
    from hposvc.client import Client, ProblemError, ServerUnreachableError
    from hposvc.operate.embedded import announced

    found = settings(url=url)
    address = found.url or announced(found).get("url") or f"http://{found.host}:{found.port}"
    try:
        with Client(address, key=found.key or None) as client:
            yield client
    except ServerUnreachableError as error:
        remedy = "Start one with `hposvc up`, or name another with --url or HPOSVC_URL."
        raise Fault(str(error), remedy, code=Exit.UNREACHABLE) from error
    except ProblemError as error:
        remedy = NO_KEY if error.status == 401 else ""
        raise Fault(str(error), remedy, code=code_of(error.status)) from error


def code_of(status: int) -> Exit:
    """The exit status for an HTTP status."""
    if status >= 500:
        return Exit.UNREACHABLE
    if status in (401, 403, 429):
        return Exit.DENIED
    return Exit.REFUSED if status in (404, 409, 412) else Exit.USAGE


def print_json(value: BaseModel | dict[str, Any] | list[Any] | None) -> None:
    """Print an answer as JSON, on standard output."""
    from pydantic import BaseModel

    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    typer.echo(escaped(json.dumps(plain, indent=2, ensure_ascii=False)))


def say_fault(fault: Fault) -> None:
    """Tell a person what is wrong and what to do, on standard error."""
    typer.secho(visible(f"hposvc: {fault.message}"), fg=typer.colors.RED, err=True)
    if fault.remedy:
        typer.echo(visible(fault.remedy), err=True)


@contextmanager
def engine_of(found: Settings) -> Iterator[sa.Engine]:
    """The database of the settings, for what is done on the machine of the service. Raises Fault."""
    from hposvc.db import migrate
    from hposvc.db.engine import create_engine, unreachable_is_fault

    with unreachable_is_fault():
        migrate.check(found.database_url)
        engine = create_engine(found.database_url)
    try:
        yield engine
    finally:
        engine.dispose()
