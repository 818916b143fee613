"""Experiments: many jobs as one question."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

JSON_TYPE = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "experiments",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200)),
        sa.Column("tags", JSON_TYPE, nullable=False),
        sa.Column("spec", JSON_TYPE, nullable=False),
        sa.Column("spec_bytes", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("asked", sa.String(length=16)),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("planned", sa.BigInteger(), nullable=False),
        sa.Column("made", sa.BigInteger(), nullable=False),
        sa.Column("ended", sa.BigInteger(), nullable=False),
        sa.Column("best_trial", sa.BigInteger()),
        sa.Column("best_value", sa.Double()),
        sa.Column("result", JSON_TYPE),
        sa.Column("notice", sa.Text()),
        sa.Column("idempotency_key", sa.String(length=255)),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("traceparent", sa.String(length=64)),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("finished_at", sa.Double()),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_experiments_tenant_id_tenants"),
        sa.PrimaryKeyConstraint("id", name="pk_experiments"),
        sa.UniqueConstraint("tenant_id", "idempotency_key", name="uq_experiments_tenant_id_idempotency_key"),
    )
    op.create_index("ix_experiments_tenant_created", "experiments", ["tenant_id", "created_at", "id"])
    op.create_index("ix_experiments_state", "experiments", ["state"])
    op.create_table(
        "experiment_trials",
        sa.Column("experiment_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("parameters", JSON_TYPE, nullable=False),
        sa.Column("job_id", sa.String(length=64)),
        sa.Column("state", sa.String(length=16)),
        sa.Column("pruned", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("value", sa.Double()),
        sa.Column("curve", JSON_TYPE),
        sa.Column("summary", JSON_TYPE),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double()),
        sa.ForeignKeyConstraint(
            ["experiment_id"],
            ["experiments.id"],
            name="fk_experiment_trials_experiment_id_experiments",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("experiment_id", "number", name="pk_experiment_trials"),
    )
    op.add_column("jobs", sa.Column("experiment_id", sa.String(length=64)))
    op.create_index("ix_jobs_experiment_id", "jobs", ["experiment_id"])
    op.add_column("webhook_deliveries", sa.Column("experiment_id", sa.String(length=64)))
    with op.batch_alter_table("webhook_deliveries") as table:
        table.alter_column("job_id", existing_type=sa.String(length=64), nullable=True)
