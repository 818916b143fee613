"""The tables, for SQLAlchemy Core.

Times are seconds since 1970 (UTC) by the clock of the database (``hposvc.db.clock``), never by that of a worker.
Non-finite numbers are kept by the explicit column ``nonfinite``, because SQLite turns NaN into NULL: see
``hposvc.db.numbers``.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)
from sqlalchemy.dialects.postgresql import JSONB

from hposvc.db.clock import now

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

DEFAULT_TENANT = "default"
# No real tenant: a job that is being deleted belongs to it, so that it is gone for its owner before its rows are.
DELETED = "~deleted"

JSONType = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def _job_id(**options: Any) -> Column[str]:
    return Column("job_id", String(64), ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False, **options)


tenants = Table(
    "tenants",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("created_at", Double, nullable=False, default=now()),
    # Quotas; null stands for the setting of that name.
    Column("queued_jobs", BigInteger),
    Column("running_jobs", BigInteger),
    Column("stored_bytes", BigInteger),
    Column("requests_per_second", Double),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False, index=True),
    Column("name", String(200), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),  # SHA-256; the key itself is never kept
    Column("scopes", JSONType, nullable=False),
    Column("created_at", Double, nullable=False, default=now()),
    Column("last_used_at", Double),
    Column("revoked_at", Double),
)

sessions = Table(
    "sessions",
    metadata,
    Column("hash", String(64), primary_key=True),  # SHA-256 of the cookie's value
    Column("key_id", ForeignKey("api_keys.id", ondelete="CASCADE"), nullable=False),
    Column("created_at", Double, nullable=False, default=now()),
    Column("expires_at", Double, nullable=False, index=True),
)

datasets = Table(
    "datasets",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("name", String(200), nullable=False),
    Column("content_sha256", String(64), nullable=False),
    Column("columns", JSONType, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("url", Text, nullable=False),
    Column("created_at", Double, nullable=False, default=now()),
    # Of the Parquet file at url; content_sha256 is that of what was sent, and of how it is read where that was said.
    Column("sha256", String(64), nullable=False, server_default=""),
    Column("description", JSONType, nullable=False, server_default="{}"),
    Column("description_bytes", BigInteger),  # of columns and description as JSON; null: of an earlier release
    UniqueConstraint("tenant_id", "content_sha256"),
    Index("ix_datasets_tenant_created", "tenant_id", "created_at", "id"),
)

# What people decided about the labels of rows, a row of the table for each decision: none is ever changed but to undo
# it. What counts is the newest version that is not undone. ``number`` is the place of the row in the file, from 0.
reviews = Table(
    "reviews",
    metadata,
    Column("dataset_id", ForeignKey("datasets.id", ondelete="CASCADE"), primary_key=True),
    Column("label", String(200), primary_key=True),  # the column that was judged
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("row_id", Text, nullable=False),
    Column("decision", String(16), nullable=False),
    Column("relabelled_to", Text),
    # No references: what was decided outlives the job. Without keys there is none.
    Column("key_id", String(64)),
    Column("job_id", String(64)),
    Column("batch", String(64), nullable=False),  # decisions that were sent together are undone together
    Column("decided_at", Double, nullable=False, default=now()),
    Column("undone_at", Double),
    Index("ix_reviews_dataset_id_batch", "dataset_id", "batch"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("name", String(200)),
    Column("tags", JSONType, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("spec", JSONType, nullable=False),
    Column("state", String(16), nullable=False),
    # The fence: every write of a worker names the attempt that it was given.
    Column("attempt", Integer, nullable=False),
    # Attempts lost to crashes since the job was submitted or retried; at max_attempts the job fails.
    Column("losses", Integer, nullable=False, default=0),
    # Somebody asked for the result of the iterations that are done; it holds in later attempts, too.
    Column("finish_early", Boolean, nullable=False, server_default=false()),
    Column("max_attempts", Integer, nullable=False),
    Column("worker_id", String(64)),
    Column("lease_until", Double),
    Column("phase", String(64)),
    # Progress, so that lists never touch the iterations.
    Column("iteration", BigInteger, nullable=False, default=0),
    Column("iterations", BigInteger, nullable=False),
    Column("upper_loss", Double),
    Column("hypergradient_norm", Double),
    Column("nonfinite", JSONType),
    Column("best_upper_loss", Double),
    Column("best_iteration", BigInteger),
    Column("sparkline", JSONType),  # [[iteration, upper loss], …], few of them
    Column("result", JSONType),
    # What the tuned model gained (see hposvc.jobs.gain), so that lists never touch the result; null: not known.
    Column("gain", Double),
    Column("gain_in", String(16)),  # score | loss
    Column("notes", Text, nullable=False, server_default=""),  # of people, in Markdown
    Column("error", JSONType),
    Column("last_event", BigInteger, nullable=False, default=0),
    Column("version", BigInteger, nullable=False, default=1),
    Column("traceparent", String(64)),
    Column("needs", String(200), nullable=False, server_default="any"),  # of a worker: see hposvc.schema.capabilities
    Column("created_at", Double, nullable=False, default=now()),
    Column("queued_at", Double, nullable=False, default=now()),
    Column("started_at", Double),
    Column("finished_at", Double),
    # of the spec, or the name of its problem; null, as the next one: of an earlier release
    Column("dataset_id", String(200)),
    Column("spec_bytes", BigInteger),  # of the spec as JSON
    Column("problem_version", String(64)),  # of an own problem, with which the job began
    Column("experiment_id", String(64)),  # no reference: the job outlives it; null: the job is nobody's trial
    Index("ix_jobs_experiment_id", "experiment_id"),
    Index("ix_jobs_tenant_created", "tenant_id", "created_at", "id"),
    Index("ix_jobs_tenant_state_created", "tenant_id", "state", "created_at", "id"),
    Index("ix_jobs_state_lease", "state", "lease_until"),
    Index("ix_jobs_finished_at", "finished_at"),
)

attempts = Table(
    "attempts",
    metadata,
    _job_id(primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("worker_id", String(64), nullable=False),
    Column("started_at", Double, nullable=False, default=now()),
    Column("resumed_from", BigInteger),  # iteration of the checkpoint; null for the start
    Column("finished_at", Double),
    Column("outcome", String(32)),  # succeeded | failed | cancelled | paused | released | lost
    Column("message", Text),
)

iterations = Table(
    "iterations",
    metadata,
    _job_id(primary_key=True),
    Column("iteration", BigInteger, primary_key=True, autoincrement=False),
    Column("attempt", Integer, nullable=False),
    Column("upper_loss", Double),
    Column("hypergradient_norm", Double),
    Column("lower_loss", Double),
    Column("upper_score", Double),
    Column("selection_loss", Double),
    Column("fd_relative_error", Double),
    Column("seconds", Double),
    Column("nonfinite", JSONType),
)

# The metrics that charts draw with a band from min to max.
BANDS = ("upper_loss", "hypergradient_norm", "lower_loss", "selection_loss", "fd_relative_error")

# A hundred iterations as one row, so that a chart of a long run need not read all: see hposvc.jobs.iterations.blocks.
iteration_blocks = Table(
    "iteration_blocks",
    metadata,
    _job_id(primary_key=True),
    Column("block", BigInteger, primary_key=True, autoincrement=False),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("size", Integer, nullable=False),
    Column("nonfinite", Integer, nullable=False),
    *(Column(f"{side}_{name}", Double) for name in BANDS for side in ("min", "max")),
)

# λ at some iterations; only the newest row of a job has its ``detail``: see hposvc.snapshots.
hyperparameters = Table(
    "hyperparameters",
    metadata,
    _job_id(primary_key=True),
    Column("iteration", BigInteger, primary_key=True, autoincrement=False),
    Column("attempt", Integer, nullable=False),
    Column("summary", JSONType, nullable=False),
    Column("detail", JSONType),
)

events = Table(
    "events",
    metadata,
    _job_id(primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False, default=now()),
    Column("attempt", Integer, nullable=False),
    Column("type", String(32), nullable=False),
    Column("data", JSONType, nullable=False),
)

artifacts = Table(
    "artifacts",
    metadata,
    _job_id(primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("url", Text, nullable=False),
    Column("iteration", BigInteger),
    Column("attempt", Integer, nullable=False),
    Column("created_at", Double, nullable=False, default=now()),
)

workers = Table(
    "workers",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("host", String(255), nullable=False),
    Column("device", String(255), nullable=False),
    Column("versions", JSONType, nullable=False),
    Column("state", String(16), nullable=False),
    Column("job_id", String(64)),
    Column("progress_message", Text),
    Column("started_at", Double, nullable=False, default=now()),
    Column("heartbeat_at", Double, nullable=False, default=now(), index=True),
    Column("offers", JSONType, nullable=False, server_default="[]"),
    Column("counters", JSONType, nullable=False, server_default="{}"),  # since the worker started, only growing
    Column("asked", String(16)),  # drain | leave
)

# The problems that workers have had installed, as they described them when they started; all versions are kept.
problems = Table(
    "problems",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("version", String(64), primary_key=True),
    Column("summary", Text, nullable=False),
    Column("parameters", JSONType, nullable=False),  # a JSON Schema
    Column("defaults", JSONType, nullable=False),
    Column("fault", Text),  # why it cannot be used
    Column("reported_at", Double, nullable=False, default=now()),
)

# What workers that have left had counted: with the rows above, totals that never shrink.
retired_counters = Table(
    "retired_counters",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

# Files whose rows are gone, until they are gone too: a crash between the two leaves nothing behind.
doomed_files = Table(
    "doomed_files",
    metadata,
    Column("url", Text, primary_key=True),
    Column("doomed_at", Double, nullable=False, default=now()),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("tenant_id", ForeignKey("tenants.id"), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    _job_id(),
    Column("created_at", Double, nullable=False, default=now()),
)

# Many jobs as one question. What was asked, and what is kept of its trials; a trial that runs is read from its job.
experiments = Table(
    "experiments",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("name", String(200)),
    Column("tags", JSONType, nullable=False),
    Column("spec", JSONType, nullable=False),
    Column("spec_bytes", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("asked", String(16)),  # pause | resume | cancel: its jobs are still to be told
    Column("version", BigInteger, nullable=False, default=1),
    Column("planned", BigInteger, nullable=False),  # trials, unless the time is up before
    Column("made", BigInteger, nullable=False, default=0),
    Column("ended", BigInteger, nullable=False, default=0),
    Column("best_trial", BigInteger),
    Column("best_value", Double),
    Column("result", JSONType),
    Column("notice", Text),  # why it does not go on
    Column("idempotency_key", String(255)),
    Column("fingerprint", String(64), nullable=False),
    Column("traceparent", String(64)),
    Column("created_at", Double, nullable=False, default=now()),
    Column("finished_at", Double),
    UniqueConstraint("tenant_id", "idempotency_key"),
    Index("ix_experiments_tenant_created", "tenant_id", "created_at", "id"),
    Index("ix_experiments_state", "state"),
)

# A trial is made in the transaction that makes its job, so there is one job for each, whatever dies when.
experiment_trials = Table(
    "experiment_trials",
    metadata,
    Column("experiment_id", ForeignKey("experiments.id", ondelete="CASCADE"), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("parameters", JSONType, nullable=False),
    Column("job_id", String(64)),  # no reference: what it found outlives the job; null: the spec was refused
    Column("state", String(16)),  # null until it has ended; then succeeded | failed | cancelled | pruned | refused
    Column("pruned", Boolean, nullable=False, server_default=false()),  # its job was told to stop
    Column("value", Double),
    Column("curve", JSONType),  # the lowest loss after each slice of the iterations: see hposvc.experiments.curves
    Column("summary", JSONType),
    Column("created_at", Double, nullable=False, default=now()),
    Column("ended_at", Double),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False, index=True),
    Column("url", Text, nullable=False),
    Column("secret", String(200), nullable=False),  # needed to sign, so it cannot be a hash
    Column("created_at", Double, nullable=False, default=now()),
)

# The outbox: written in the transaction that ends a job. A row that is due_at some time waits for that time;
# without one it is settled, delivered or given up.
webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("webhook_id", ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False),
    Column("job_id", String(64)),  # no reference: the news outlives the job
    Column("experiment_id", String(64)),  # of news of an experiment, in place of a job
    Column("type", String(64), nullable=False),
    Column("body", JSONType, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("due_at", Double, index=True, default=now()),
    Column("delivered_at", Double),
    Column("status", Integer),
    Column("error", Text),
    Column("created_at", Double, nullable=False, default=now()),
    Index("ix_webhook_deliveries_webhook_id_created_at", "webhook_id", "created_at"),
)
