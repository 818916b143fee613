"""What people decided about the labels of rows."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reviews",
        sa.Column("dataset_id", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(length=200), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("row_id", sa.Text(), nullable=False),
        sa.Column("decision", sa.String(length=16), nullable=False),
        sa.Column("relabelled_to", sa.Text()),
        sa.Column("key_id", sa.String(length=64)),
        sa.Column("job_id", sa.String(length=64)),
        sa.Column("batch", sa.String(length=64), nullable=False),
        sa.Column("decided_at", sa.Double(), nullable=False),
        sa.Column("undone_at", sa.Double()),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["datasets.id"], name="fk_reviews_dataset_id_datasets", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("dataset_id", "label", "number", "version", name="pk_reviews"),
    )
    op.create_index("ix_reviews_dataset_id_batch", "reviews", ["dataset_id", "batch"])
