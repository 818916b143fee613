"""The demonstration: a real job, through the real service, on scikit-learn's handwritten digits."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import hposvc
from hposvc.cli.preparing import prepare_jittor
from hposvc.cli.render import console, failure, results
from hposvc.cli.watching import View, follow, watch
from hposvc.client import Client, ClientError
from hposvc.faults import Exit, Fault
from hposvc.operate.embedded import Embedded
from hposvc.settings import Settings

EXAMPLE = "digits_reweighting.yaml"
INTRODUCTION = (
    "The 1,797 handwritten digits of scikit-learn, 40 % of the training labels replaced by wrong ones. Only 54 digits "
    "are trusted. hposvc judges every label by models that have not seen its row, and by the trusted rows. Rows whose "
    "label is probably wrong are the suspects. From there it tunes how far labels are believed, by gradient."
)


def run(settings: Settings) -> None:
    """Prepare Jittor, start the service on ``settings``, run the example, say what it found; leaves nothing running.

    Raises Fault when a part cannot start, or the job does not succeed.
    """
    out = console()
    out.print(f"{INTRODUCTION}\n")
    prepare_jittor(out=out)
    with Embedded(settings, log_dir=settings.data_dir / "logs") as service, Client(service.url) as client:
        out.print(f"The service runs at {service.url} for as long as this takes.\n")
        try:
            job = client.submit(example(EXAMPLE))
            job = watch(_while_alive(follow(client, job.id), service), out)
        except ClientError as error:
            raise Fault(str(error), f"The logs are in {settings.data_dir / 'logs'}.") from error
    out.print()
    if job.result is None:
        out.print(failure(job))
        raise Fault(
            "the demonstration did not succeed", f"The logs are in {settings.data_dir / 'logs'}.", code=Exit.FAILED
        )
    out.print(results(job.result))
    default_port = Settings.model_fields["port"].default
    out.print(
        "\nTo look at this job in the dashboard, start the service on the same data:\n"
        f"    {program()} up --data-dir {_relative(settings.data_dir)}\n"
        f"and open http://127.0.0.1:{default_port}{job.links.dashboard}",
        soft_wrap=True,
    )


def example(name: str) -> bytes:
    """One of the examples: within the package when installed, at the top of the repository when not."""
    here = Path(hposvc.__file__).parent
    return next(
        path for path in (here / "examples" / name, here.parent / "examples" / name) if path.is_file()
    ).read_bytes()


def program() -> str:
    """How this command was called, so that it can be typed again."""
    return "hposvc" if shutil.which("hposvc") == sys.argv[0] else str(_relative(Path(sys.argv[0])))


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _while_alive(views: Iterator[View], service: Embedded) -> Iterator[View]:
    """The views, as long as both processes live: without a worker they would not end."""
    for view in views:
        service.check()
        yield view
