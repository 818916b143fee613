"""λ over time, the curve beside a job in lists, and iterations folded into blocks for charts of long runs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

JSON_TYPE = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
BANDS = ("upper_loss", "hypergradient_norm", "lower_loss", "selection_loss", "fd_relative_error")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("sparkline", JSON_TYPE))
    op.create_table(
        "hyperparameters",
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("iteration", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("summary", JSON_TYPE, nullable=False),
        sa.Column("detail", JSON_TYPE),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_hyperparameters_job_id_jobs", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "iteration", name="pk_hyperparameters"),
    )
    op.create_table(
        "iteration_blocks",
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("block", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("nonfinite", sa.Integer(), nullable=False),
        *(sa.Column(f"{side}_{name}", sa.Double()) for name in BANDS for side in ("min", "max")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_iteration_blocks_job_id_jobs", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "block", name="pk_iteration_blocks"),
    )
