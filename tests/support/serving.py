"""The real server in a thread, and a worker that is played: what it writes goes through the fence like a real one's."""

from __future__ import annotations

import hashlib
import io
import math
import secrets
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa
from numpy.typing import NDArray
from safetensors.numpy import save

from api import connections
from api.app import create_app
from hposvc import snapshots
from hposvc.db.engine import create_engine
from hposvc.jobs import attempt as attempts
from hposvc.jobs.queries import METRICS
from hposvc.jobs.queue import Publisher
from hposvc.jobs.service import Jobs
from hposvc.operate.serve import listen
from hposvc.schema.job import JobError, JobResource
from hposvc.schema.spec import JobSpec
from hposvc.settings import Settings

FEATURES = (
    "mean fractal dimension",
    "symmetry error",
    "mean smoothness",
    "texture error",
    "worst area",
    "worst radius",
)
LEASE = 3600.0
PATIENCE = 180.0  # seconds that a call may wait: an upload yields the processor to compilers that run beside it
SPEC: dict[str, Any] = {"kind": "data_reweighting", "dataset": {"id": "sklearn:iris"}, "stop": {"iterations": 500}}


class Server:
    """The service on a free loopback port; it can be stopped and started again at the same address."""

    def __init__(self, database_url: str, data_dir: Path, **settings: Any) -> None:
        self.settings = Settings(database_url=database_url, data_dir=data_dir, **settings)
        self.engine = create_engine(database_url)
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        listener = listen(Settings(port=self.port))
        self.port = listener.getsockname()[1]
        config = connections.config(create_app(self.settings), log_level="warning", timeout_graceful_shutdown=1)
        self._server = connections.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]})
        self._thread.start()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self.engine.dispose()


def curve(start: int, stop: int, *, floor: float = 0.21) -> list[dict[str, float | None]]:
    """Iterations ``start`` to ``stop`` of a job that converges, the same every time."""
    rows: list[dict[str, float | None]] = []
    for number in range(start, stop + 1):
        wave = math.sin(number * 12.9898) * 0.006
        row = dict.fromkeys(METRICS) | {
            "iteration": number,
            "upper_loss": floor + 1.9 * math.exp(-number / 60) + wave * math.exp(-number / 200),
            "hypergradient_norm": 0.19 * math.exp(-number / 45) + 8e-4 * (1 + 20 * wave),
            "lower_loss": floor * 2.6 + 1.5 * math.exp(-number / 75) - wave / 2,
            "upper_score": 0.96 - 0.5 * math.exp(-number / 60),
            "fd_relative_error": 2.1e-5 * (1 + 30 * abs(wave)) if number % 50 == 0 else None,
            "seconds": number * 0.0083,
        }
        rows.append(row)
    return rows


ROWS = 1079  # training rows of sklearn:digits


def drift(iteration: int, size: int = ROWS) -> NDArray[np.float64]:
    """λ at an iteration: 60 % of it goes down and the rest up, the same every time."""
    draw = np.random.default_rng(0)
    side = np.where(draw.random(size) < 0.6, -4.4, 1.9)
    moved: NDArray[np.float64] = side * draw.normal(1, 0.25, size) * (1 - np.exp(-iteration / 90))
    return moved


def spread(iteration: int, size: int = len(FEATURES)) -> NDArray[np.float64]:
    """λ of strengths at an iteration: they start together and part, from strong to weak."""
    moved: NDArray[np.float64] = -5 + np.linspace(7, -7, size) * (1 - np.exp(-iteration / 150))
    return moved


def entry(name: str, place: int) -> dict[str, Any]:
    """What is known of one entry of λ, of rows, groups or features."""
    if name == "rows":
        return {"name": str((place * 397) % 1797), "label": str(place * 7 % 10)}
    return {"name": FEATURES[place], "penalty": "l2"}


def watch_lambda(attempt: attempts.Attempt, iterations: Iterable[int], name: str = "rows") -> None:
    """Report λ at these iterations, as a runner does."""
    for iteration in iterations:
        lam = drift(iteration) if name == "rows" else spread(iteration)
        scale: snapshots.Scale = "logistic" if name == "rows" else "log"
        groups = [snapshots.Group(name, len(lam))]
        attempt.snapshot(snapshots.take(iteration, lam, groups, scale, lambda place: entry(name, place)))


def take_lambda(
    attempt: attempts.Attempt,
    iteration: int,
    lam: NDArray[np.float64],
    sizes: dict[str, int],
    scale: snapshots.Scale,
) -> None:
    """Report λ at an iteration, in groups of these names and sizes."""
    groups = [snapshots.Group(name, size) for name, size in sizes.items()]
    attempt.snapshot(snapshots.take(iteration, lam, groups, scale, lambda place: {"name": f"entry {place}"}))


def answer(folder: Path, columns: dict[str, Any], name: str = "hyperparameters") -> attempts.StoredFile:
    """A table of a finished job, in a store below ``folder``."""
    path = folder / f"{secrets.token_hex(4)}.parquet"
    pq.write_table(pa.table(columns), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    size = path.stat().st_size
    return attempts.StoredFile(f"{name}.parquet", name, size, digest, path.as_uri())


def weights_of_rows(folder: Path) -> attempts.StoredFile:
    """One weight for each training row."""
    lam = drift(500)
    known = [entry("rows", place) for place in range(len(lam))]
    columns = {"row_id": [row["name"] for row in known], "label": [row["label"] for row in known]}
    return answer(folder, columns | {"lambda": lam, "weight": snapshots.values(lam, "logistic")})


def checkpoint(folder: Path, iteration: int) -> attempts.StoredFile:
    """A checkpoint of a job with a weight for each row, as a runner leaves it."""
    lam = drift(iteration)
    known = [entry("rows", place) for place in range(len(lam))]
    columns = {"name": [row["name"] for row in known], "label": [row["label"] for row in known], "lambda": lam}
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    state, named = np.zeros(8, np.uint8), np.frombuffer(buffer.getvalue(), np.uint8)
    path = folder / f"checkpoint-{iteration:010d}-{secrets.token_hex(4)}.safetensors"
    path.write_bytes(save({"state": state, snapshots.IN_CHECKPOINT: named}))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    name = f"checkpoint-{iteration:010d}.safetensors"
    return attempts.StoredFile(name, attempts.CHECKPOINT, path.stat().st_size, digest, path.as_uri(), iteration)


def ranked_rows(folder: Path, **own: Any) -> attempts.StoredFile:
    """The suspects of RESULT, ranked, with columns of the user's own; they may name other parts."""
    suspects = RESULT["suspects"]
    columns = {name: [row[name] for row in suspects] for name in ("row_id", "rank", "weight", "label", "predicted")}
    return answer(folder, columns | {"part": ["train"] * len(suspects)} | own, "rows")


def weights_of_groups(folder: Path) -> attempts.StoredFile:
    """One weight for each of two annotators."""
    lam = np.array([0.9, -2.1])
    columns = {"group": ["annotator 2", "annotator 7"], "rows": [1012, 180]}
    return answer(folder, columns | {"lambda": lam, "weight": snapshots.values(lam, "logistic")})


def strengths(folder: Path) -> attempts.StoredFile:
    """One strength for each feature."""
    lam = spread(500)
    columns = {"feature": FEATURES, "penalty": ["l2"] * len(FEATURES)}
    return answer(folder, columns | {"lambda": lam, "strength": np.exp(lam)})


def later(seconds: float, act: Callable[[], object]) -> threading.Timer:
    """Something that happens while the test waits for an answer."""
    timer = threading.Timer(seconds, act)
    timer.start()
    return timer


class Worker:
    """A worker by hand: takes a job up and reports what the test wants."""

    def __init__(self, engine: sa.Engine, worker_id: str = "worker-1") -> None:
        self.engine = engine
        self.id = worker_id
        self.publisher = Publisher(engine)

    def take(self, job: JobResource, problem_version: str | None = None) -> attempts.Attempt:
        attempt = attempts.claim(
            self.engine, self.publisher, job.id, job.attempt, worker_id=self.id, lease_seconds=LEASE
        )
        assert attempt is not None, f"{job.id} is not there to be taken"
        attempt.start(None, problem_version)
        return attempt


def submit(engine: sa.Engine, **changes: Any) -> JobResource:
    """A queued job like SPEC, with other top-level fields."""
    return Jobs(engine).submit(JobSpec.model_validate(SPEC | changes))


def running(engine: sa.Engine, iterations: int, **changes: Any) -> tuple[JobResource, attempts.Attempt]:
    """A job that runs and has recorded so many iterations."""
    job = submit(engine, **changes)
    attempt = Worker(engine).take(job)
    if iterations:
        attempt.record(curve(1, iterations))
    return job, attempt


def succeeded(
    engine: sa.Engine, result: dict[str, Any], files: Sequence[attempts.StoredFile] = (), **changes: Any
) -> JobResource:
    """A job that ran to its end."""
    job, attempt = running(engine, 500, **changes)
    attempt.succeed(result, files)
    return job


def diverged(engine: sa.Engine, at: int = 120, **changes: Any) -> JobResource:
    """A job whose loss grew until it was NaN, kept with its iteration."""
    job, attempt = running(engine, at - 21, **changes)
    rows = curve(at - 20, at)
    for step, row in enumerate(rows):
        row["upper_loss"] = 0.5 * 1.9**step
        row["hypergradient_norm"] = 0.02 * 2.4**step
    rows[-1] |= {"upper_loss": math.nan, "hypergradient_norm": math.inf}
    attempt.record(rows)
    message = f"The upper loss is NaN at iteration {at}; it grew from 0.5 in the 20 iterations before."
    remedy = "Lower solver.upper.learning_rate, or leave it on auto; everything up to there is kept."
    attempt.fail(JobError(reason="diverged", message=message, remedy=remedy, iteration=at))
    return job


def _model(name: str, label: str, train: float, selection: float, test: float, score: float) -> dict[str, Any]:
    losses = {"train_loss": train, "selection_loss": selection, "test_loss": test}
    return {"name": name, "label": label, **losses, "test_score": score}


RESULT: dict[str, Any] = {
    "stopped_by": "iterations",
    "iterations": 500,
    "best_iteration": 487,
    "seconds": 4.15,
    "task": "classification",
    "score_name": "accuracy",
    "sentence": "Test accuracy 0.794 → 0.956 against all rows as they came; trusted rows alone reach 0.942.",
    "upper_loss": {"first": 2.3026, "last": 0.2112, "best": 0.2104},
    "hypergradient_norm": {"first": 0.1893, "last": 0.0008},
    "selection_loss": {"first": 2.3019, "last": 0.2307, "best": 0.2291},
    "models": [
        _model("tuned", "Training rows at their tuned weights, and the trusted rows", 0.1042, 0.2291, 0.1874, 0.9556),
        _model("all_rows", "All training rows as they came", 1.6121, 1.0833, 1.1204, 0.7944),
        _model("trusted_only", "Trusted rows only", 0.0512, 0.2502, 0.2213, 0.9417),
        _model("both", "All training rows and the trusted rows", 1.2046, 0.8127, 0.8431, 0.8528),
    ],
    "rows": 1077,
    "suspects_total": 641,
    "suspects": [
        {
            "rank": rank,
            "row_id": str((rank * 397) % 1077),
            "label": str(rank * 7 % 10),
            "weight": 0.0004 + rank * 0.0006,
            "predicted": str((rank * 7 + 3) % 10),
            "predicted_probability": 0.998 - rank * 0.0011,
        }
        for rank in range(1, 51)
    ],
    "noise": {"planted": 646, "flagged": 641, "precision": 0.9891, "recall": 0.9814, "f1": 0.9852, "auc": 0.9979},
    "strengths": None,
    "warnings": [],
}
GROUPS: dict[str, Any] = RESULT | {
    "suspects_total": 0,
    "suspects": None,
    "noise": None,
    "groups": [
        {"name": "annotator 7", "rows": 180, "lam": -2.1, "weight": 0.1091},
        {"name": "annotator 2", "rows": 1012, "lam": 0.9, "weight": 0.7109},
    ],
}

STRENGTHS: dict[str, Any] = RESULT | {
    "sentence": "Test loss 0.0862, against 0.0923 with the best single strength: 569 rows, 30 strengths.",
    "models": [
        _model("tuned", "One strength per feature", 0.0611, 0.0827, 0.0862, 0.9737),
        _model("single_strength", "Best single strength of a grid", 0.0587, 0.0901, 0.0923, 0.9649),
        _model("no_penalty", "No penalty", 0.0002, 0.4120, 0.3876, 0.9386),
    ],
    "rows": 341,
    "suspects_total": 0,
    "suspects": None,
    "noise": None,
    "strengths": [
        {"name": name, "penalty": "l2", "lam": 2.1 - 0.5 * rank, "strength": math.exp(2.1 - 0.5 * rank)}
        for rank, name in enumerate(FEATURES)
    ],
    "warnings": ["Test loss is 0.004 above the selection loss: little is left to gain from more iterations."],
}
