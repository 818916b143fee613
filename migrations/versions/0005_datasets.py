"""What uploaded data sets hold, and the checksum of how they are stored."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

JSON_TYPE = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.add_column("datasets", sa.Column("sha256", sa.String(length=64), nullable=False, server_default=""))
    op.add_column("datasets", sa.Column("description", JSON_TYPE, nullable=False, server_default="{}"))
    op.create_index("ix_datasets_tenant_created", "datasets", ["tenant_id", "created_at", "id"])
