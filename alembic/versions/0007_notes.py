"""Notes on a scan: what was odd about its file, beside what became of it.

Revision: 0007, after 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column; at once, however many items there are."""
    op.add_column("item", sa.Column("notes", sa.Text(), nullable=True))


def downgrade() -> None:
    """Drop it: what was noted is forgotten."""
    op.drop_column("item", "notes")
