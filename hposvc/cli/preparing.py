"""Preparing Jittor in front of a person: a progress bar, because the first time takes minutes."""

from __future__ import annotations

from importlib.util import find_spec

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from hposvc.cli.render import console
from hposvc.faults import Fault
from hposvc.machine.warmup import WarmupProgress, is_warm, warm_up


def require_jittor() -> None:
    """Raise Fault where Jittor is not installed, as in the image of the API."""
    if find_spec("jittor") is None:
        raise Fault(
            "this installation has no Jittor, so it can run the API and the commands, but solve nothing",
            "Run: pip install hposvc (in containers: use the worker's image).",
        )


def prepare_jittor(device: str = "cpu", out: Console | None = None) -> None:
    """Compile what Jittor needs on ``device``, unless that was done before. Raises Fault."""
    require_jittor()
    out = out or console()
    if is_warm(device):
        out.print("Jittor is ready.")
        return
    out.print(
        "Preparing Jittor, the solver's compiler. On first use it builds itself: five to ten minutes on two cores."
    )
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), console=out
    )
    with bar:
        task = bar.add_task("starting", total=None)
        said = -1

        def show(step: WarmupProgress) -> None:
            nonlocal said
            bar.update(task, description=step.message, completed=step.done, total=step.total)
            tenth = 10 * step.done // step.total
            if not out.is_terminal and tenth != said:  # a log gets a line now and then instead of a bar
                said = tenth
                out.print(f"  {step.message} ({100 * step.done // step.total} %)")

        warm_up(show, device)
