"""Backfills: many scans to be coloured beside the nightly runs.

Revision: 0002, after 0001
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Written out here, not imported from tasks.schema: a migration stays what it was when it was run.
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True).with_variant(sa.String(23), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
WORD = sa.String(32)

TOGETHER = "status = 'pending' AND alone IS {false}"


def where(predicate: str) -> dict[str, Any]:
    """The predicate of a partial index, in both databases' words."""
    return {
        "postgresql_where": sa.text(predicate.format(true="true", false="false")),
        "sqlite_where": sa.text(predicate.format(true="1", false="0")),
    }


def upgrade() -> None:
    """Make the tables of backfills, and let items belong to one."""
    op.create_table(
        "backfill",
        sa.Column("id", ID, sa.Identity(), nullable=False),
        sa.Column("run_id", ID, nullable=False),
        sa.Column("recipe_id", ID, nullable=False),
        sa.Column("state", WORD, nullable=False),
        sa.Column("mode", WORD, nullable=False),
        sa.Column("scope", JSON, nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("max_items", sa.BigInteger(), nullable=True),
        sa.Column("max_bytes", sa.BigInteger(), nullable=True),
        sa.Column("max_seconds", sa.Float(), nullable=True),
        sa.Column("looked_at", ID, nullable=False),
        sa.Column("last_scan_id", ID, nullable=False),
        sa.Column("items", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.Column("figures", JSON, nullable=False),
        sa.ForeignKeyConstraint(["recipe_id"], ["recipe.id"], name="fk_backfill_recipe_id"),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_backfill_run_id"),
        sa.PrimaryKeyConstraint("id", name="pk_backfill"),
        comment="Many scans to be coloured beside the nightly runs",
    )
    op.create_index("ix_backfill_open", "backfill", ["priority", "id"], **where("ended_at IS NULL"))
    op.create_table(
        "share",
        sa.Column("id", ID, sa.Identity(), nullable=False),
        sa.Column("backfill_id", ID, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("flow_run_id", sa.String(length=36), nullable=True),
        sa.Column("max_items", sa.Integer(), nullable=True),
        sa.Column("max_seconds", sa.Float(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("begun_at", MOMENT, nullable=True),
        sa.Column("seen_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.Column("ending", WORD, nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("items", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["backfill_id"], ["backfill.id"], name="fk_share_backfill_id"),
        sa.PrimaryKeyConstraint("id", name="pk_share"),
        sa.UniqueConstraint("backfill_id", "number", name="uq_share_backfill_id_number"),
        comment="One worker's turn at a backfill",
    )
    op.create_index("ix_share_open", "share", ["backfill_id"], **where("ended_at IS NULL"))
    op.create_table(
        "backfill_tally",
        sa.Column("backfill_id", ID, autoincrement=False, nullable=False),
        sa.Column("status", WORD, nullable=False),
        sa.Column("reason", WORD, nullable=False),
        sa.Column("slot", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "backfill_id", "status", "reason", "slot", name="pk_backfill_tally"
        ),
        comment="A backfill's items by status and reason, kept by triggers on item",
    )
    for table in ("item", "decision"):
        # Added in place on SQLite, too: making the table anew would drop its triggers.
        key = sa.ForeignKey("backfill.id", name=f"fk_{table}_backfill_id")
        op.add_column(
            table, sa.Column("backfill_id", ID, key, nullable=True), inline_references=True
        )
    for name in ("source_bytes", "derivative_bytes"):
        op.add_column("claim", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    op.drop_index("ix_item_pending", "item")
    create_pending_index(f"{TOGETHER} AND backfill_id IS NULL")
    op.create_index(
        "ix_item_backfill",
        "item",
        ["backfill_id", "not_before", "id"],
        **where(f"{TOGETHER} AND backfill_id IS NOT NULL"),
    )
    if op.get_bind().dialect.name == "postgresql":
        create_tally_postgresql()
    else:
        create_tally_sqlite()


def downgrade() -> None:
    """Forget which backfill enqueued what; what waits, waits for the nightly run."""
    drop_tally()
    op.drop_index("ix_item_backfill", "item")
    op.drop_index("ix_item_pending", "item")
    for table in ("item", "decision"):
        op.drop_column(table, "backfill_id")
    for name in ("source_bytes", "derivative_bytes"):
        op.drop_column("claim", name)
    create_pending_index(TOGETHER)
    for table in ("backfill_tally", "share", "backfill"):
        op.drop_table(table)


def create_pending_index(predicate: str) -> None:
    """Create the index that claims read from."""
    columns = ["recipe_id", "collection", "not_before", "id"]
    op.create_index("ix_item_pending", "item", columns, **where(predicate))


def create_tally_postgresql() -> None:
    """One trigger a statement, as for the other tallies (0001), over the items of backfills."""
    key = "backfill_id, status, reason"
    rows = {
        name: f"SELECT backfill_id, status, coalesce(reason, '') AS reason, {one} AS one "  # noqa: S608 - names from here
        f"FROM {name} WHERE backfill_id IS NOT NULL"
        for name, one in (("after_rows", 1), ("before_rows", -1))
    }
    events = {
        "insert": (rows["after_rows"], "NEW TABLE AS after_rows"),
        "update": (
            " UNION ALL ".join(rows.values()),
            "OLD TABLE AS before_rows NEW TABLE AS after_rows",
        ),
        "delete": (rows["before_rows"], "OLD TABLE AS before_rows"),
    }
    branches = "".join(
        f"""
        {"IF" if event == "insert" else "ELSIF"} TG_OP = '{event.upper()}' THEN
            INSERT INTO backfill_tally AS tally ({key}, slot, n)
            SELECT {key}, pg_backend_pid() % 16, sum(one) FROM ({chosen}) AS rows
            GROUP BY {key} HAVING sum(one) <> 0 ORDER BY {key}
            ON CONFLICT ({key}, slot) DO UPDATE SET n = tally.n + excluded.n;"""  # noqa: S608 - names from here
        for event, (chosen, _) in events.items()
    )
    op.execute(
        f"""
        CREATE FUNCTION backfill_tally_count() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN{branches}
        END IF;
        RETURN NULL;
        END $$"""
    )
    for event, (_, tables) in events.items():
        op.execute(
            f"CREATE TRIGGER backfill_tally_{event} AFTER {event.upper()} ON item "
            f"REFERENCING {tables} FOR EACH STATEMENT EXECUTE FUNCTION backfill_tally_count()"
        )


def create_tally_sqlite() -> None:
    """A trigger a row, which costs the items of no backfill a comparison."""

    def count(row: str, n: int) -> str:
        return (
            "INSERT INTO backfill_tally (backfill_id, status, reason, slot, n) "
            f"SELECT {row}.backfill_id, {row}.status, coalesce({row}.reason, ''), 0, {n} "
            f"WHERE {row}.backfill_id IS NOT NULL "
            "ON CONFLICT (backfill_id, status, reason, slot) DO UPDATE SET n = n + excluded.n;"
        )

    differs = " OR ".join(
        f"OLD.{name} IS NOT NEW.{name}" for name in ("backfill_id", "status", "reason")
    )
    ours = "(OLD.backfill_id IS NOT NULL OR NEW.backfill_id IS NOT NULL)"
    bodies = {
        "insert": ("NEW.backfill_id IS NOT NULL", count("NEW", 1)),
        "update": (f"{ours} AND ({differs})", f"{count('OLD', -1)} {count('NEW', 1)}"),
        "delete": ("OLD.backfill_id IS NOT NULL", count("OLD", -1)),
    }
    for event, (condition, body) in bodies.items():
        op.execute(
            f"CREATE TRIGGER backfill_tally_{event} AFTER {event.upper()} ON item "
            f"FOR EACH ROW WHEN {condition} BEGIN {body} END"
        )


def drop_tally() -> None:
    """Drop the triggers and what they call."""
    postgresql_ = op.get_bind().dialect.name == "postgresql"
    for event in ("insert", "update", "delete"):
        op.execute(f"DROP TRIGGER backfill_tally_{event}" + (" ON item" if postgresql_ else ""))
    if postgresql_:
        op.execute("DROP FUNCTION backfill_tally_count()")
