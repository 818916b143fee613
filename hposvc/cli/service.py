"""The commands that run the service on one machine, and look after it."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

from hposvc.cli.support import DataDir, Json, print_json, settings
from hposvc.faults import Exit

Host = Annotated[str | None, typer.Option(help="Address to listen on; by default HPOSVC_HOST, or 127.0.0.1.")]
Port = Annotated[int | None, typer.Option(help="Port to listen on, 0 for a free one; by default HPOSVC_PORT, or 8080.")]


def up(host: Host = None, port: Port = None, data_dir: DataDir = None) -> None:
    """Run the whole service on this machine: database, API, dashboard and one worker. Ctrl-C stops it."""
    from hposvc.operate.embedded import Embedded

    chosen = settings(host=host, port=port, data_dir=data_dir)
    _stop_like_ctrl_c()
    try:
        with Embedded(chosen) as service:
            typer.echo(f"hposvc runs at {service.url} (data in {chosen.data_dir}); Ctrl-C stops it")
            service.wait()
    except KeyboardInterrupt:
        typer.echo("stopped")


def api(host: Host = None, port: Port = None, data_dir: DataDir = None) -> None:
    """Run the HTTP API and the dashboard. The database must be migrated: `hposvc db upgrade`."""
    from hposvc.operate.serve import run_api

    run_api(settings(host=host, port=port, data_dir=data_dir))


def warmup() -> None:
    """Prepare Jittor, which is compiled on first use: minutes once, then seconds."""
    from hposvc.cli.preparing import prepare_jittor

    prepare_jittor(settings().device)


def doctor(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Look for what keeps the service from running here, and say how to mend it."""
    from hposvc.cli.render import console
    from hposvc.operate import doctor as examination

    findings = list(examination.examine(settings(data_dir=data_dir)))
    if as_json:
        print_json([finding.as_dict() for finding in findings])
    else:
        console().print(examination.table(findings))
    if any(finding.status == "fault" for finding in findings):
        raise typer.Exit(Exit.FAILED)


def config(as_json: Json = False) -> None:
    """Show the settings and where each comes from; secrets are hidden."""
    from rich.table import Table

    from hposvc.cli.render import console

    rows = settings().described()
    if as_json:
        print_json(rows)
        return
    table = Table("variable", "value", "from", box=None, pad_edge=False, header_style="dim")
    for row in rows:
        table.add_row(row["variable"], str(row["value"]), row["origin"])
    console().print(table)


def demo(
    data_dir: Annotated[Path, typer.Option(help="Where the demo keeps its jobs.")] = Path(".hposvc/demo"),
) -> None:
    """Find the wrong labels among scikit-learn's handwritten digits, and show how it is done."""
    from hposvc.cli.demo import run

    _stop_like_ctrl_c()
    folder = data_dir.absolute()
    run(
        settings(  # nothing of this machine's own service is touched, whatever the environment says
            data_dir=folder,
            database_url=f"sqlite:///{folder / 'hposvc.sqlite3'}",
            store_url=(folder / "store").as_uri(),
            host="127.0.0.1",
            port=0,
        )
    )


def _stop_like_ctrl_c() -> None:
    """Let `kill` and a closed terminal stop this process in the same order as Ctrl-C."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, signal.default_int_handler)
