"""How much specs and descriptions take, and which data set a job is on, so that neither is read to find that out."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # null where an earlier release wrote the row; nothing is rewritten
    op.add_column("jobs", sa.Column("dataset_id", sa.String(length=200)))
    op.add_column("jobs", sa.Column("spec_bytes", sa.BigInteger()))
    op.add_column("datasets", sa.Column("description_bytes", sa.BigInteger()))
