"""Orders of every kind: what was the backfill's is an order's, with a kind, a deadline and a why.

Revision: 0009, after 0008
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# Written out here, not imported from tasks.schema: a migration stays what it was when it was run.
MOMENT = sa.DateTime(timezone=True).with_variant(sa.String(23), "sqlite")
WORD = sa.String(32)
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")

TOGETHER = "status = 'pending' AND alone IS {false} AND {owner}_id IS NOT NULL"
TABLES = ("share", "item", "decision")  #: that name an order
COMMENTS = {
    "order": {
        "work_order": "Scans to be coloured because a person or a schedule asked for it",
        "share": "What one flow run on one worker takes of an order",
        "order_tally": "An order's items by status and reason, kept by triggers on item",
    },
    "backfill": {
        "backfill": "Many scans to be coloured beside the nightly runs",
        "share": "One worker's turn at a backfill",
        "backfill_tally": "A backfill's items by status and reason, kept by triggers on item",
    },
}


def upgrade() -> None:
    """Rename in place, rows and all, and add what the other kinds need."""
    drop_tally("backfill")
    rename("backfill", "order")
    op.add_column("work_order", sa.Column("kind", WORD, nullable=False, server_default="backfill"))
    op.add_column("work_order", sa.Column("why", sa.Text(), nullable=False, server_default=""))
    op.add_column("work_order", sa.Column("deadline_at", MOMENT, nullable=True))
    op.add_column("share", sa.Column("worker", sa.Text(), nullable=False, server_default=""))
    op.add_column("share", sa.Column("figures", JSON, nullable=False, server_default="{}"))
    op.execute("UPDATE decision SET kind = 'order' WHERE kind = 'backfill'")
    create_tally("order")


def downgrade() -> None:
    """Back to backfills. Nights and retries end: what is left of them waits for the next night."""
    drop_tally("order")
    op.execute("UPDATE decision SET kind = 'backfill' WHERE kind = 'order'")
    op.execute(
        "UPDATE item SET order_id = NULL WHERE status = 'pending' AND order_id IN "
        "(SELECT id FROM work_order WHERE kind <> 'backfill' OR state IN ('stopped', 'aborted'))"
    )
    op.execute(
        "UPDATE work_order SET state = 'cancelled', ended_at = coalesce(ended_at, changed_at) "
        "WHERE kind <> 'backfill' OR state IN ('stopped', 'aborted')"
    )
    op.execute("UPDATE work_order SET state = 'planning' WHERE state = 'listing'")
    for name in ("figures", "worker"):
        op.drop_column("share", name)
    for name in ("deadline_at", "why", "kind"):
        op.drop_column("work_order", name)
    rename("order", "backfill")
    create_tally("backfill")


def rename(old: str, new: str) -> None:
    """Give tables, columns, keys and indexes their other names, without touching a row."""
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    before, after = table_of(old), table_of(new)
    op.drop_index(f"ix_{before}_open", before)
    op.drop_index("ix_share_open", "share")
    op.drop_index(f"ix_item_{old}", "item")
    op.drop_index("ix_item_pending", "item")
    op.rename_table(before, after)
    op.rename_table(f"{old}_tally", f"{new}_tally")
    for table in (*TABLES, f"{new}_tally"):
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {old}_id TO {new}_id")
    if is_postgresql:  # SQLite lets no key be renamed; those that nobody asks it for stay
        keys = [(f"{new}_tally", f"pk_{old}_tally"), ("share", f"uq_share_{old}_id_number")]
        for table in TABLES:
            found = sa.inspect(op.get_bind()).get_foreign_keys(table)
            keys += [(table, str(k["name"])) for k in found if k["referred_table"] == after]
        for table, name in keys:
            op.execute(f"ALTER TABLE {table} RENAME CONSTRAINT {name} TO {name.replace(old, new)}")
        for name in ("pk_{}", "fk_{}_run_id", "fk_{}_recipe_id"):
            op.execute(
                f"ALTER TABLE {after} RENAME CONSTRAINT {name.format(before)} "
                f"TO {name.format(after)}"
            )
        for table, comment in COMMENTS[new].items():
            op.create_table_comment(table, comment)
    else:
        with op.batch_alter_table("share") as batch:
            batch.drop_constraint(f"uq_share_{old}_id_number", type_="unique")
            batch.create_unique_constraint(f"uq_share_{new}_id_number", [f"{new}_id", "number"])
    op.create_index(f"ix_{after}_open", after, ["priority", "id"], **where("ended_at IS NULL"))
    op.create_index("ix_share_open", "share", [f"{new}_id"], **where("ended_at IS NULL"))
    op.create_index(
        f"ix_item_{new}",
        "item",
        [f"{new}_id", "not_before", "id"],
        **where(TOGETHER.replace("{owner}", new)),
    )
    op.create_index(
        "ix_item_pending",
        "item",
        ["recipe_id", "collection", "not_before", "id"],
        **where(TOGETHER.replace("{owner}", new).replace("NOT NULL", "NULL")),
    )


def table_of(word: str) -> str:
    """The table's name: ORDER is a word of SQL's own."""
    return "work_order" if word == "order" else word


def where(predicate: str) -> dict[str, Any]:
    """The predicate of a partial index, in both databases' words."""
    return {
        "postgresql_where": sa.text(predicate.format(false="false")),
        "sqlite_where": sa.text(predicate.format(false="0")),
    }


def create_tally(word: str) -> None:
    """The triggers of 0002, under this name."""
    if op.get_bind().dialect.name == "postgresql":
        create_tally_postgresql(word)
    else:
        create_tally_sqlite(word)


def create_tally_postgresql(word: str) -> None:
    """One trigger a statement, over the items of orders."""
    key = f"{word}_id, status, reason"
    rows = {
        name: f"SELECT {word}_id, status, coalesce(reason, '') AS reason, {one} AS one "  # noqa: S608 - names from here
        f"FROM {name} WHERE {word}_id IS NOT NULL"
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
            INSERT INTO {word}_tally AS tally ({key}, slot, n)
            SELECT {key}, pg_backend_pid() % 16, sum(one) FROM ({chosen}) AS rows
            GROUP BY {key} HAVING sum(one) <> 0 ORDER BY {key}
            ON CONFLICT ({key}, slot) DO UPDATE SET n = tally.n + excluded.n;"""  # noqa: S608 - names from here
        for event, (chosen, _) in events.items()
    )
    op.execute(
        f"""
        CREATE FUNCTION {word}_tally_count() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN{branches}
        END IF;
        RETURN NULL;
        END $$"""
    )
    for event, (_, tables) in events.items():
        op.execute(
            f"CREATE TRIGGER {word}_tally_{event} AFTER {event.upper()} ON item "
            f"REFERENCING {tables} FOR EACH STATEMENT EXECUTE FUNCTION {word}_tally_count()"
        )


def create_tally_sqlite(word: str) -> None:
    """A trigger a row, which costs the items of no order a comparison."""

    def count(row: str, n: int) -> str:
        return (
            f"INSERT INTO {word}_tally ({word}_id, status, reason, slot, n) "
            f"SELECT {row}.{word}_id, {row}.status, coalesce({row}.reason, ''), 0, {n} "
            f"WHERE {row}.{word}_id IS NOT NULL "
            f"ON CONFLICT ({word}_id, status, reason, slot) DO UPDATE SET n = n + excluded.n;"
        )

    differs = " OR ".join(
        f"OLD.{name} IS NOT NEW.{name}" for name in (f"{word}_id", "status", "reason")
    )
    ours = f"(OLD.{word}_id IS NOT NULL OR NEW.{word}_id IS NOT NULL)"
    bodies = {
        "insert": (f"NEW.{word}_id IS NOT NULL", count("NEW", 1)),
        "update": (f"{ours} AND ({differs})", f"{count('OLD', -1)} {count('NEW', 1)}"),
        "delete": (f"OLD.{word}_id IS NOT NULL", count("OLD", -1)),
    }
    for event, (condition, body) in bodies.items():
        op.execute(
            f"CREATE TRIGGER {word}_tally_{event} AFTER {event.upper()} ON item "
            f"FOR EACH ROW WHEN {condition} BEGIN {body} END"
        )


def drop_tally(word: str) -> None:
    """Drop the triggers and what they call."""
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    for event in ("insert", "update", "delete"):
        op.execute(f"DROP TRIGGER {word}_tally_{event}" + (" ON item" if is_postgresql else ""))
    if is_postgresql:
        op.execute(f"DROP FUNCTION {word}_tally_count()")
