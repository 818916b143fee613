"""What workers offer and count, what jobs need of them, and files that are to be removed."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

JSON_TYPE = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    # constant defaults: neither database rewrites the tables
    op.add_column("workers", sa.Column("offers", JSON_TYPE, nullable=False, server_default="[]"))
    op.add_column("workers", sa.Column("counters", JSON_TYPE, nullable=False, server_default="{}"))
    op.add_column("workers", sa.Column("asked", sa.String(length=16)))
    op.add_column("jobs", sa.Column("needs", sa.String(length=32), nullable=False, server_default="any"))
    op.create_index("ix_jobs_finished_at", "jobs", ["finished_at"])
    op.create_table(
        "retired_counters",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_retired_counters"),
    )
    op.create_table(
        "doomed_files",
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("doomed_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("url", name="pk_doomed_files"),
    )
