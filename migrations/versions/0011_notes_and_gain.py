"""Jobs keep notes of people, and what the tuned model gained, so that a list can be ordered by it."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("notes", sa.Text(), nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("gain", sa.Double()))
    op.add_column("jobs", sa.Column("gain_in", sa.String(length=16)))
