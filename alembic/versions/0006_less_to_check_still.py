"""PostgreSQL checks less for each row that a batch or a discovery writes. SQLite stays as it is.

Revision: 0006, after 0005
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# As in 0005. Of the server's time for finishing a batch, nearly a fifth went into looking up and
# locking, once for each attempt and once for each derivative, items that the same transaction had
# just locked and changed; of its time for inserting new scans, a third into locking the one row of
# their run, 5,000 times a statement (EXPLAIN ANALYZE). Items and runs are never deleted.
FOREIGN_KEYS = {"scan": "run", "attempt": "item", "derivative": "item"}


def upgrade() -> None:
    """Drop the foreign keys: at once, however large the tables are."""
    if op.get_bind().dialect.name != "postgresql":
        return
    for table, target in FOREIGN_KEYS.items():
        op.drop_constraint(f"fk_{table}_{target}_id", table, type_="foreignkey")


def downgrade() -> None:
    """Check again, what is there too: that reads the tables once."""
    if op.get_bind().dialect.name != "postgresql":
        return
    for table, target in FOREIGN_KEYS.items():
        op.create_foreign_key(f"fk_{table}_{target}_id", table, target, [f"{target}_id"], ["id"])
