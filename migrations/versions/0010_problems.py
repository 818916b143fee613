"""Problems that are installed on the workers, the version with which a job began, and needs that name a problem."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "problems",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("parameters", JSON, nullable=False),
        sa.Column("defaults", JSON, nullable=False),
        sa.Column("fault", sa.Text()),
        sa.Column("reported_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", "version", name="pk_problems"),
    )
    op.add_column("jobs", sa.Column("problem_version", sa.String(length=64)))
    if op.get_bind().dialect.name == "postgresql":  # SQLite does not look at lengths
        op.alter_column("jobs", "needs", type_=sa.String(length=200))
