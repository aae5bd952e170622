"""PostgreSQL checks and writes less for each item. SQLite stays as it is.

Revision: 0005, after 0004
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# Every row that a batch writes was checked against the same row of another table. A check locks
# that row, and of the server's time for a batch a ninth went into it (EXPLAIN ANALYZE, one worker
# alone; several share the lock on the store's row, which costs more). The rows referred to are made
# in the same transaction or just before it, and are never deleted.
FOREIGN_KEYS = {
    "scan": ("store",),
    "item": ("claim",),
    "attempt": ("claim",),
    "derivative": ("store",),
}


def upgrade() -> None:
    """Drop foreign keys to what a batch's rows share; leave room to update scans in place."""
    if op.get_bind().dialect.name != "postgresql":
        return
    for table, targets in FOREIGN_KEYS.items():
        for target in targets:
            op.drop_constraint(f"fk_{table}_{target}_id", table, type_="foreignkey")
    # A scan is updated once, when it is first read, and grows by half: where its page has room for
    # that, no index is written.
    op.execute("ALTER TABLE scan SET (fillfactor = 65)")


def downgrade() -> None:
    """Check again."""
    if op.get_bind().dialect.name != "postgresql":
        return
    op.execute("ALTER TABLE scan RESET (fillfactor)")
    for table, targets in FOREIGN_KEYS.items():
        for target in targets:
            op.create_foreign_key(
                f"fk_{table}_{target}_id", table, target, [f"{target}_id"], ["id"]
            )
