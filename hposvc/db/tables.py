"""The tables, for SQLAlchemy Core.

Times are seconds since 1970 (UTC) by the clock of the database (``hposvc.db.clock``), never by that of a worker.
Non-finite numbers are kept by the explicit column ``nonfinite``, because SQLite turns NaN into NULL: see
``hposvc.db.numbers``.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from hposvc.db.clock import now

metadata = sa.MetaData(
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

JSONType = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def _job_id(**options: Any) -> sa.Column[str]:
    return sa.Column("job_id", sa.String(64), sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False, **options)


tenants = sa.Table(
    "tenants",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("created_at", sa.Double, nullable=False, default=now()),
    # Quotas; null stands for the setting of that name.
    sa.Column("queued_jobs", sa.BigInteger),
    sa.Column("running_jobs", sa.BigInteger),
    sa.Column("stored_bytes", sa.BigInteger),
    sa.Column("requests_per_second", sa.Double),
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("tenant_id", sa.ForeignKey("tenants.id"), nullable=False, index=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False, unique=True),  # SHA-256; the key itself is never kept
    sa.Column("scopes", JSONType, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False, default=now()),
    sa.Column("last_used_at", sa.Double),
    sa.Column("revoked_at", sa.Double),
)

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("hash", sa.String(64), primary_key=True),  # SHA-256 of the cookie's value
    sa.Column("key_id", sa.ForeignKey("api_keys.id", ondelete="CASCADE"), nullable=False),
    sa.Column("created_at", sa.Double, nullable=False, default=now()),
    sa.Column("expires_at", sa.Double, nullable=False, index=True),
)

datasets = sa.Table(
    "datasets",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("tenant_id", sa.ForeignKey("tenants.id"), nullable=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("content_sha256", sa.String(64), nullable=False),
    sa.Column("columns", JSONType, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False, default=now()),
    # Of the Parquet file at url; content_sha256 is that of what was sent, and of how it is read where that was said.
    sa.Column("sha256", sa.String(64), nullable=False, server_default=""),
    sa.Column("description", JSONType, nullable=False, server_default="{}"),
    sa.Column("description_bytes", sa.BigInteger),  # of columns and description as JSON; null: of an earlier release
    sa.UniqueConstraint("tenant_id", "content_sha256"),
    sa.Index("ix_datasets_tenant_created", "tenant_id", "created_at", "id"),
)

# What people decided about the labels of rows, a row of the table for each decision: none is ever changed but to undo
# it. What counts is the newest version that is not undone. ``number`` is the place of the row in the file, from 0.
reviews = sa.Table(
    "reviews",
    metadata,
    sa.Column("dataset_id", sa.ForeignKey("datasets.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("label", sa.String(200), primary_key=True),  # the column that was judged
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("row_id", sa.Text, nullable=False),
    sa.Column("decision", sa.String(16), nullable=False),
    sa.Column("relabelled_to", sa.Text),
    # No references: what was decided outlives the job. Without keys there is none.
    sa.Column("key_id", sa.String(64)),
    sa.Column("job_id", sa.String(64)),
    sa.Column("batch", sa.String(64), nullable=False),  # decisions that were sent together are undone together
    sa.Column("decided_at", sa.Double, nullable=False, default=now()),
    sa.Column("undone_at", sa.Double),
    sa.Index("ix_reviews_dataset_id_batch", "dataset_id", "batch"),
)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("tenant_id", sa.ForeignKey("tenants.id"), nullable=False),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("name", sa.String(200)),
    sa.Column("tags", JSONType, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("spec", JSONType, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    # The fence: every write of a worker names the attempt that it was given.
    sa.Column("attempt", sa.Integer, nullable=False),
    # Attempts lost to crashes since the job was submitted or retried; at max_attempts the job fails.
    sa.Column("losses", sa.Integer, nullable=False, default=0),
    # Somebody asked for the result of the iterations that are done; it holds in later attempts, too.
    sa.Column("finish_early", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("max_attempts", sa.Integer, nullable=False),
    sa.Column("worker_id", sa.String(64)),
    sa.Column("lease_until", sa.Double),
    sa.Column("phase", sa.String(64)),
    # Progress, so that lists never touch the iterations.
    sa.Column("iteration", sa.BigInteger, nullable=False, default=0),
    sa.Column("iterations", sa.BigInteger, nullable=False),
    sa.Column("upper_loss", sa.Double),
    sa.Column("hypergradient_norm", sa.Double),
    sa.Column("nonfinite", JSONType),
    sa.Column("best_upper_loss", sa.Double),
    sa.Column("best_iteration", sa.BigInteger),
    sa.Column("sparkline", JSONType),  # [[iteration, upper loss], …], few of them
    sa.Column("result", JSONType),
    # What the tuned model gained (see hposvc.jobs.gain), so that lists never touch the result; null: not known.
    sa.Column("gain", sa.Double),
    sa.Column("gain_in", sa.String(16)),  # score | loss
    sa.Column("notes", sa.Text, nullable=False, server_default=""),  # of people, in Markdown
    sa.Column("error", JSONType),
    sa.Column("last_event", sa.BigInteger, nullable=False, default=0),
    sa.Column("version", sa.BigInteger, nullable=False, default=1),
    sa.Column("traceparent", sa.String(64)),
    # Of a worker: see hposvc.schema.capabilities.
    sa.Column("needs", sa.String(200), nullable=False, server_default="any"),
    sa.Column("created_at", sa.Double, nullable=False, default=now()),
    sa.Column("queued_at", sa.Double, nullable=False, default=now()),
    sa.Column("started_at", sa.Double),
    sa.Column("finished_at", sa.Double),
    # of the spec, or the name of its problem; null, as the next one: of an earlier release
    sa.Column("dataset_id", sa.String(200)),
    sa.Column("spec_bytes", sa.BigInteger),  # of the spec as JSON
    sa.Column("problem_version", sa.String(64)),  # of an own problem, with which the job began
    sa.Column("experiment_id", sa.String(64)),  # no reference: the job outlives it; null: the job is nobody's trial
    sa.Index("ix_jobs_experiment_id", "experiment_id"),
    sa.Index("ix_jobs_tenant_created", "tenant_id", "created_at", "id"),
    sa.Index("ix_jobs_tenant_state_created", "tenant_id", "state", "created_at", "id"),
    sa.Index("ix_jobs_state_lease", "state", "lease_until"),
    sa.Index("ix_jobs_finished_at", "finished_at"),
)

attempts = sa.Table(
    "attempts",
    metadata,
    _job_id(primary_key=True),
    sa.Column("attempt", sa.Integer, primary_key=True),
    sa.Column("worker_id", sa.String(64), nullable=False),
    sa.Column("started_at", sa.Double, nullable=False, default=now()),
    sa.Column("resumed_from", sa.BigInteger),  # iteration of the checkpoint; null for the start
    sa.Column("finished_at", sa.Double),
    sa.Column("outcome", sa.String(32)),  # succeeded | failed | cancelled | paused | released | lost
    sa.Column("message", sa.Text),
)

iterations = sa.Table(
    "iterations",
    metadata,
    _job_id(primary_key=True),
    sa.Column("iteration", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("upper_loss", sa.Double),
    sa.Column("hypergradient_norm", sa.Double),
    sa.Column("lower_loss", sa.Double),
    sa.Column("upper_score", sa.Double),
    sa.Column("selection_loss", sa.Double),
    sa.Column("fd_relative_error", sa.Double),
    sa.Column("seconds", sa.Double),
    sa.Column("nonfinite", JSONType),
)

# The metrics that charts draw with a band from min to max.
BANDS = ("upper_loss", "hypergradient_norm", "lower_loss", "selection_loss", "fd_relative_error")

# A hundred iterations as one row, so that a chart of a long run need not read all: see hposvc.jobs.iterations.blocks.
iteration_blocks = sa.Table(
    "iteration_blocks",
    metadata,
    _job_id(primary_key=True),
    sa.Column("block", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("first", sa.BigInteger, nullable=False),
    sa.Column("last", sa.BigInteger, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("nonfinite", sa.Integer, nullable=False),
    *(sa.Column(f"{side}_{name}", sa.Double) for name in BANDS for side in ("min", "max")),
)

# λ at some iterations; only the newest row of a job has its ``detail``: see hposvc.snapshots.
hyperparameters = sa.Table(
    "hyperparameters",
    metadata,
    _job_id(primary_key=True),
    sa.Column("iteration", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("summary", JSONType, nullable=False),
    sa.Column("detail", JSONType),
)

events = sa.Table(
    "events",
    metadata,
    _job_id(primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.Double, nullable=False, default=now()),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("type", sa.String(32), nullable=False),
    sa.Column("data", JSONType, nullable=False),
)

artifacts = sa.Table(
    "artifacts",
    metadata,
    _job_id(primary_key=True),
    sa.Column("name", sa.String(200), primary_key=True),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("iteration", sa.BigInteger),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False, default=now()),
)

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("device", sa.String(255), nullable=False),
    sa.Column("versions", JSONType, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("job_id", sa.String(64)),
    sa.Column("progress_message", sa.Text),
    sa.Column("started_at", sa.Double, nullable=False, default=now()),
    sa.Column("heartbeat_at", sa.Double, nullable=False, default=now(), index=True),
    sa.Column("offers", JSONType, nullable=False, server_default="[]"),
    sa.Column("counters", JSONType, nullable=False, server_default="{}"),  # since the worker started, only growing
    sa.Column("asked", sa.String(16)),  # drain | leave
)

# The problems that workers have had installed, as they described them when they started; all versions are kept.
problems = sa.Table(
    "problems",
    metadata,
    sa.Column("name", sa.String(200), primary_key=True),
    sa.Column("version", sa.String(64), primary_key=True),
    sa.Column("summary", sa.Text, nullable=False),
    sa.Column("parameters", JSONType, nullable=False),  # a JSON Schema
    sa.Column("defaults", JSONType, nullable=False),
    sa.Column("fault", sa.Text),  # why it cannot be used
    sa.Column("reported_at", sa.Double, nullable=False, default=now()),
)

# What workers that have left had counted: with the rows above, totals that never shrink.
retired_counters = sa.Table(
    "retired_counters",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)

# Files whose rows are gone, until they are gone too: a crash between the two leaves nothing behind.
doomed_files = sa.Table(
    "doomed_files",
    metadata,
    sa.Column("url", sa.Text, primary_key=True),
    sa.Column("doomed_at", sa.Double, nullable=False, default=now()),
)

idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    sa.Column("tenant_id", sa.ForeignKey("tenants.id"), primary_key=True),
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    _job_id(),
    sa.Column("created_at", sa.Double, nullable=False, default=now()),
)

# Many jobs as one question. What was asked, and what is kept of its trials; a trial that runs is read from its job.
experiments = sa.Table(
    "experiments",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("tenant_id", sa.ForeignKey("tenants.id"), nullable=False),
    sa.Column("name", sa.String(200)),
    sa.Column("tags", JSONType, nullable=False),
    sa.Column("spec", JSONType, nullable=False),
    sa.Column("spec_bytes", sa.BigInteger, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("asked", sa.String(16)),  # pause | resume | cancel: its jobs are still to be told
    sa.Column("version", sa.BigInteger, nullable=False, default=1),
    sa.Column("planned", sa.BigInteger, nullable=False),  # trials, unless the time is up before
    sa.Column("made", sa.BigInteger, nullable=False, default=0),
    sa.Column("ended", sa.BigInteger, nullable=False, default=0),
    sa.Column("best_trial", sa.BigInteger),
    sa.Column("best_value", sa.Double),
    sa.Column("result", JSONType),
    sa.Column("notice", sa.Text),  # why it does not go on
    sa.Column("last_event", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("idempotency_key", sa.String(255)),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("traceparent", sa.String(64)),
    sa.Column("created_at", sa.Double, nullable=False, default=now()),
    sa.Column("finished_at", sa.Double),
    sa.UniqueConstraint("tenant_id", "idempotency_key"),
    sa.Index("ix_experiments_tenant_created", "tenant_id", "created_at", "id"),
    sa.Index("ix_experiments_state", "state"),
)

# A trial is made in the transaction that makes its job, so there is one job for each, whatever dies when.
experiment_trials = sa.Table(
    "experiment_trials",
    metadata,
    sa.Column("experiment_id", sa.ForeignKey("experiments.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("parameters", JSONType, nullable=False),
    sa.Column("job_id", sa.String(64)),  # no reference: what it found outlives the job; null: the spec was refused
    # Null until it has ended; then succeeded | failed | cancelled | pruned | refused.
    sa.Column("state", sa.String(16)),
    sa.Column("pruned", sa.Boolean, nullable=False, server_default=sa.false()),  # its job was told to stop
    sa.Column("value", sa.Double),
    sa.Column("curve", JSONType),  # the lowest loss after each slice of the iterations: see hposvc.experiments.curves
    sa.Column("summary", JSONType),
    sa.Column("created_at", sa.Double, nullable=False, default=now()),
    sa.Column("ended_at", sa.Double),
)

experiment_events = sa.Table(
    "experiment_events",
    metadata,
    sa.Column("experiment_id", sa.ForeignKey("experiments.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.Double, nullable=False, default=now()),
    sa.Column("type", sa.String(32), nullable=False),
    sa.Column("data", JSONType, nullable=False),
)

webhooks = sa.Table(
    "webhooks",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("tenant_id", sa.ForeignKey("tenants.id"), nullable=False, index=True),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("secret", sa.String(200), nullable=False),  # needed to sign, so it cannot be a hash
    sa.Column("created_at", sa.Double, nullable=False, default=now()),
)

# The outbox: written in the transaction that ends a job. A row that is due_at some time waits for that time;
# without one it is settled, delivered or given up.
webhook_deliveries = sa.Table(
    "webhook_deliveries",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("webhook_id", sa.ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False),
    sa.Column("job_id", sa.String(64)),  # no reference: the news outlives the job
    sa.Column("experiment_id", sa.String(64)),  # of news of an experiment, in place of a job
    sa.Column("type", sa.String(64), nullable=False),
    sa.Column("body", JSONType, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("due_at", sa.Double, index=True, default=now()),
    sa.Column("delivered_at", sa.Double),
    sa.Column("status", sa.Integer),
    sa.Column("error", sa.Text),
    sa.Column("created_at", sa.Double, nullable=False, default=now()),
    sa.Index("ix_webhook_deliveries_webhook_id_created_at", "webhook_id", "created_at"),
)
