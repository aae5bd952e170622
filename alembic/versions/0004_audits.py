"""Audits: what was found when files were read again; scans that are gone have their own reason.

Revision: 0004, after 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Written out here, not imported from tasks.schema: a migration stays what it was when it was run.
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True).with_variant(sa.String(23), "sqlite")
WORD = sa.String(32)
SHA256 = sa.String(64)

GONE = "detail = 'no longer in its source'"


def upgrade() -> None:
    """Make a table of checks for each kind of file, and rename the reason of what is gone."""
    for subject in ("derivative", "scan"):
        table = f"{subject}_fixity"
        op.create_table(
            table,
            sa.Column("subject_id", ID, autoincrement=False, nullable=False),
            sa.Column("run_id", ID, nullable=False),
            sa.Column("outcome", WORD, nullable=False),
            sa.Column("sha256", SHA256, nullable=True),
            sa.Column("detail", sa.Text(), nullable=True),
            sa.Column("checked_at", MOMENT, nullable=False),
            sa.ForeignKeyConstraint(
                ["subject_id"], [f"{subject}.id"], name=f"fk_{table}_subject_id"
            ),
            sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=f"fk_{table}_run_id"),
            sa.PrimaryKeyConstraint("subject_id", name=f"pk_{table}"),
            comment=f"The latest audit of each {subject}'s file",
        )
    op.execute(
        "UPDATE item SET status = 'skipped', reason = 'vanished' "  # noqa: S608 - a constant
        f"WHERE status = 'quarantined' AND reason = 'unreadable' AND {GONE}"
    )


def downgrade() -> None:
    """Drop the tables, and give what is gone its old reason."""
    op.execute(
        "UPDATE item SET status = 'quarantined', reason = 'unreadable' "
        "WHERE status = 'skipped' AND reason = 'vanished'"
    )
    op.drop_table("scan_fixity")
    op.drop_table("derivative_fixity")
