"""Jobs can be asked to end their iterations early."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("finish_early", sa.Boolean(), nullable=False, server_default=sa.false()))
