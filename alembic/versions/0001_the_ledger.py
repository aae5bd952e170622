"""The ledger.

Revision: 0001, the first
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Written out here, not imported from tasks.schema: a migration stays what it was when it was run.
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True).with_variant(sa.String(23), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
WORD = sa.String(32)
SHA256 = sa.String(64)


def where(predicate: str) -> dict[str, Any]:
    """The predicate of a partial index, in both databases' words."""
    return {
        "postgresql_where": sa.text(predicate.format(true="true", false="false")),
        "sqlite_where": sa.text(predicate.format(true="1", false="0")),
    }


def upgrade() -> None:
    """Make every table, and the triggers that count."""
    op.create_table(
        "checkpoint",
        sa.Column("id", ID, sa.Identity(), nullable=False),
        sa.Column("digest", SHA256, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("card", JSON, nullable=False),
        sa.Column("registered_by", sa.Text(), nullable=False),
        sa.Column("registered_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_checkpoint"),
        sa.UniqueConstraint("digest", name="uq_checkpoint_digest"),
        comment="Weights that may colour scans, by the digest of their file",
    )
    op.create_table(
        "item_tally",
        sa.Column("recipe_id", ID, autoincrement=False, nullable=False),
        sa.Column("collection", sa.Text(), nullable=False),
        sa.Column("status", WORD, nullable=False),
        sa.Column("reason", WORD, nullable=False),
        sa.Column("slot", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "recipe_id", "collection", "status", "reason", "slot", name="pk_item_tally"
        ),
        comment="Items by status and reason, kept by triggers on item",
    )
    op.create_table(
        "recipe",
        sa.Column("id", ID, sa.Identity(), nullable=False),
        sa.Column("digest", SHA256, nullable=False),
        sa.Column("checkpoint_digest", SHA256, nullable=False),
        sa.Column("outputs", JSON, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("used_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_recipe"),
        sa.UniqueConstraint("digest", name="uq_recipe_digest"),
        comment="All that decides a derivative's pixels",
    )
    op.create_table(
        "reference_set",
        sa.Column("id", ID, sa.Identity(), nullable=False),
        sa.Column("digest", SHA256, nullable=False),
        sa.Column("frozen_at", MOMENT, nullable=False),
        sa.Column("frozen_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_reference_set"),
        sa.UniqueConstraint("digest", name="uq_reference_set_digest"),
        comment="A frozen list of references, by the digest of its members and their roles",
    )
    op.create_table(
        "scan_tally",
        sa.Column("collection", sa.Text(), nullable=False),
        sa.Column("vanished", sa.Boolean(), nullable=False),
        sa.Column("slot", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("collection", "vanished", "slot", name="pk_scan_tally"),
        comment="Scans by collection, kept by triggers on scan",
    )
    op.create_table(
        "store",
        sa.Column("id", ID, sa.Identity(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_store"),
        sa.UniqueConstraint("url", name="uq_store_url"),
        comment="A place by its normalised URL: a source of scans, or where derivatives go",
    )
    op.create_table(
        "decision",
        sa.Column("id", ID, sa.Identity(), nullable=False),
        sa.Column("kind", WORD, nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("decided_at", MOMENT, nullable=False),
        sa.Column("scope", JSON, nullable=False),
        sa.Column("checkpoint_id", ID, nullable=True),
        sa.Column("previous_checkpoint_id", ID, nullable=True),
        sa.ForeignKeyConstraint(
            ["checkpoint_id"], ["checkpoint.id"], name="fk_decision_checkpoint_id"
        ),
        sa.ForeignKeyConstraint(
            ["previous_checkpoint_id"], ["checkpoint.id"], name="fk_decision_previous_checkpoint_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_decision"),
        comment="Who changed what about items or the champion, when and why",
    )
    op.create_table(
        "run",
        sa.Column("id", ID, sa.Identity(), nullable=False),
        sa.Column("kind", WORD, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("flow_run_id", sa.String(length=36), nullable=True),
        sa.Column("recipe_id", ID, nullable=True),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("seen_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.Column("ending", WORD, nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("figures", JSON, nullable=False),
        sa.ForeignKeyConstraint(["recipe_id"], ["recipe.id"], name="fk_run_recipe_id"),
        sa.PrimaryKeyConstraint("id", name="pk_run"),
        comment="One flow run, as the ledger saw it",
    )
    op.create_index("ix_run_kind_started_at", "run", ["kind", "started_at"])

    op.create_table(
        "champion",
        sa.Column("slot", sa.String(length=16), nullable=False),
        sa.Column("checkpoint_id", ID, nullable=False),
        sa.Column("decision_id", ID, nullable=False),
        sa.Column("since", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["checkpoint_id"], ["checkpoint.id"], name="fk_champion_checkpoint_id"
        ),
        sa.ForeignKeyConstraint(["decision_id"], ["decision.id"], name="fk_champion_decision_id"),
        sa.PrimaryKeyConstraint("slot", name="pk_champion"),
        comment="The checkpoint in service; its history is in the decisions",
    )
    op.create_table(
        "claim",
        sa.Column("id", ID, sa.Identity(), nullable=False),
        sa.Column("token", WORD, nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("recipe_id", ID, nullable=False),
        sa.Column("run_id", ID, nullable=True),
        sa.Column("max_attempts", sa.SmallInteger(), nullable=False),
        sa.Column("claimed_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.Column("finished", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["recipe_id"], ["recipe.id"], name="fk_claim_recipe_id"),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_claim_run_id"),
        sa.PrimaryKeyConstraint("id", name="pk_claim"),
        sa.UniqueConstraint("token", name="uq_claim_token"),
        comment="One batch in the hands of one worker: the lease that its items share",
    )
    op.create_index("ix_claim_open", "claim", ["expires_at"], **where("ended_at IS NULL"))
    op.create_index("ix_claim_run_id", "claim", ["run_id"])

    op.create_table(
        "scan",
        sa.Column("id", ID, sa.Identity(), nullable=False),
        sa.Column("store_id", ID, nullable=False),
        sa.Column("key", KEY, nullable=False),
        sa.Column("page", sa.Integer(), nullable=False),
        sa.Column("collection", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=True),
        sa.Column("modified_at", MOMENT, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("run_id", ID, nullable=True),
        sa.Column("found_at", MOMENT, nullable=False),
        sa.Column("vanished_at", MOMENT, nullable=True),
        sa.Column("sha256", SHA256, nullable=True),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("bits", sa.SmallInteger(), nullable=True),
        sa.Column("pages", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_scan_run_id"),
        sa.ForeignKeyConstraint(["store_id"], ["store.id"], name="fk_scan_store_id"),
        sa.PrimaryKeyConstraint("id", name="pk_scan"),
        sa.UniqueConstraint("store_id", "key", "page", name="uq_scan_store_id_key_page"),
        comment="One picture in the archive: a page of an object in a store. Never deleted",
    )
    op.create_index("ix_scan_collection_id", "scan", ["collection", "id"])

    op.create_table(
        "training",
        sa.Column("id", ID, sa.Identity(), nullable=False),
        sa.Column("run_id", ID, nullable=True),
        sa.Column("reference_set_id", ID, nullable=False),
        sa.Column("parent_id", ID, nullable=False),
        sa.Column("challenger_id", ID, nullable=True),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.Column("figures", JSON, nullable=False),
        sa.Column("verdict", WORD, nullable=True),
        sa.Column("why", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["challenger_id"], ["checkpoint.id"], name="fk_training_challenger_id"
        ),
        sa.ForeignKeyConstraint(["parent_id"], ["checkpoint.id"], name="fk_training_parent_id"),
        sa.ForeignKeyConstraint(
            ["reference_set_id"], ["reference_set.id"], name="fk_training_reference_set_id"
        ),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_training_run_id"),
        sa.PrimaryKeyConstraint("id", name="pk_training"),
        comment="One fine-tuning: from which checkpoint, on which references, to what end",
    )
    op.create_table(
        "item",
        sa.Column("id", ID, sa.Identity(), nullable=False),
        sa.Column("scan_id", ID, nullable=False),
        sa.Column("recipe_id", ID, nullable=False),
        sa.Column("collection", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("status", WORD, nullable=False),
        sa.Column("reason", WORD, nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("alone", sa.Boolean(), nullable=False),
        sa.Column("claim_id", ID, nullable=True),
        sa.Column("not_before", MOMENT, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.Column("confidence", sa.Float(), nullable=True),
        sa.CheckConstraint(
            "status IN ('pending', 'claimed', 'published', 'review', 'skipped', "
            "'failed', 'quarantined', 'held', 'rejected', 'superseded')",
            name="ck_item_status",
        ),
        sa.ForeignKeyConstraint(["claim_id"], ["claim.id"], name="fk_item_claim_id"),
        sa.ForeignKeyConstraint(["recipe_id"], ["recipe.id"], name="fk_item_recipe_id"),
        sa.ForeignKeyConstraint(["scan_id"], ["scan.id"], name="fk_item_scan_id"),
        sa.PrimaryKeyConstraint("id", name="pk_item"),
        sa.UniqueConstraint("scan_id", "recipe_id", name="uq_item_scan_id_recipe_id"),
        comment="One scan under one recipe",
    )
    op.create_index(
        "ix_item_alone",
        "item",
        ["recipe_id", "not_before", "id"],
        **where("status = 'pending' AND alone IS {true}"),
    )
    op.create_index("ix_item_claimed", "item", ["claim_id"], **where("status = 'claimed'"))
    op.create_index(
        "ix_item_looked_after",
        "item",
        ["recipe_id", "status", "reason", "id"],
        **where("status IN ('review', 'skipped', 'failed', 'quarantined', 'held', 'rejected')"),
    )
    op.create_index(
        "ix_item_pending",
        "item",
        ["recipe_id", "collection", "not_before", "id"],
        **where("status = 'pending' AND alone IS {false}"),
    )

    op.create_table(
        "reference",
        sa.Column("id", ID, sa.Identity(), nullable=False),
        sa.Column("store_id", ID, nullable=False),
        sa.Column("key", KEY, nullable=False),
        sa.Column("collection", sa.Text(), nullable=False),
        sa.Column("sha256", SHA256, nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("scan_id", ID, nullable=True),
        sa.Column("added_by", sa.Text(), nullable=False),
        sa.Column("added_at", MOMENT, nullable=False),
        sa.Column("withdrawn_by", sa.Text(), nullable=True),
        sa.Column("withdrawn_at", MOMENT, nullable=True),
        sa.Column("withdrawn_why", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["scan_id"], ["scan.id"], name="fk_reference_scan_id"),
        sa.ForeignKeyConstraint(["store_id"], ["store.id"], name="fk_reference_store_id"),
        sa.PrimaryKeyConstraint("id", name="pk_reference"),
        sa.UniqueConstraint("sha256", name="uq_reference_sha256"),
        comment="A genuine colour picture supplied by a curator",
    )
    op.create_table(
        "scan_revision",
        sa.Column("scan_id", ID, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=True),
        sa.Column("modified_at", MOMENT, nullable=False),
        sa.Column("sha256", SHA256, nullable=True),
        sa.Column("replaced_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["scan_id"], ["scan.id"], name="fk_scan_revision_scan_id"),
        sa.PrimaryKeyConstraint("scan_id", "revision", name="pk_scan_revision"),
        comment="What a scan was before its file changed",
    )
    op.create_table(
        "attempt",
        sa.Column("id", ID, sa.Identity(), nullable=False),
        sa.Column("item_id", ID, nullable=False),
        sa.Column("claim_id", ID, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("number", sa.SmallInteger(), nullable=False),
        sa.Column("ending", WORD, nullable=False),
        sa.Column("status", WORD, nullable=False),
        sa.Column("reason", WORD, nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("seconds", sa.Float(), nullable=True),
        sa.Column("ended_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["claim_id"], ["claim.id"], name="fk_attempt_claim_id"),
        sa.ForeignKeyConstraint(["item_id"], ["item.id"], name="fk_attempt_item_id"),
        sa.PrimaryKeyConstraint("id", name="pk_attempt"),
        comment="One claim of one item, written when it ends (an open one is the item's claim)",
    )
    op.create_index("ix_attempt_item_id", "attempt", ["item_id"])

    op.create_table(
        "decision_item",
        sa.Column("decision_id", ID, nullable=False),
        sa.Column("item_id", ID, nullable=False),
        sa.Column("was", WORD, nullable=False),
        sa.Column("was_reason", WORD, nullable=True),
        sa.Column("became", WORD, nullable=False),
        sa.ForeignKeyConstraint(
            ["decision_id"], ["decision.id"], name="fk_decision_item_decision_id"
        ),
        sa.ForeignKeyConstraint(["item_id"], ["item.id"], name="fk_decision_item_item_id"),
        sa.PrimaryKeyConstraint("decision_id", "item_id", name="pk_decision_item"),
        comment="The items that a decision moved",
    )
    op.create_index("ix_decision_item_item_id", "decision_item", ["item_id"])

    op.create_table(
        "derivative",
        sa.Column("id", ID, sa.Identity(), nullable=False),
        sa.Column("item_id", ID, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("kind", WORD, nullable=False),
        sa.Column("store_id", ID, nullable=False),
        sa.Column("key", KEY, nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", SHA256, nullable=False),
        sa.Column("max_delta_l", sa.Float(), nullable=True),
        sa.Column("mean_delta_l", sa.Float(), nullable=True),
        sa.Column("luma_identical", sa.Boolean(), nullable=True),
        sa.Column("written_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["item_id"], ["item.id"], name="fk_derivative_item_id"),
        sa.ForeignKeyConstraint(["store_id"], ["store.id"], name="fk_derivative_store_id"),
        sa.PrimaryKeyConstraint("id", name="pk_derivative"),
        sa.UniqueConstraint(
            "item_id", "revision", "kind", name="uq_derivative_item_id_revision_kind"
        ),
        comment="A file written for an item, read back and verified before it is recorded",
    )
    op.create_table(
        "reference_set_member",
        sa.Column("reference_set_id", ID, nullable=False),
        sa.Column("reference_id", ID, nullable=False),
        sa.Column("role", WORD, nullable=False),
        sa.CheckConstraint("role IN ('train', 'evaluation')", name="ck_reference_set_member_role"),
        sa.ForeignKeyConstraint(
            ["reference_id"], ["reference.id"], name="fk_reference_set_member_reference_id"
        ),
        sa.ForeignKeyConstraint(
            ["reference_set_id"],
            ["reference_set.id"],
            name="fk_reference_set_member_reference_set_id",
        ),
        sa.PrimaryKeyConstraint("reference_set_id", "reference_id", name="pk_reference_set_member"),
    )
    create_tallies()
    if op.get_bind().dialect.name == "postgresql":
        # Claimed items leave dead entries at the head of the index that claims read from. Vacuumed
        # away at 2 % and not at the default 20 %, they cost a claim among 10 M items 1 ms, not 10.
        op.execute(
            "ALTER TABLE item SET (autovacuum_vacuum_scale_factor = 0.02, "
            "autovacuum_analyze_scale_factor = 0.02)"
        )


def downgrade() -> None:
    """Leave an empty database."""
    drop_tallies()
    for table in (
        "reference_set_member",
        "derivative",
        "decision_item",
        "attempt",
        "scan_revision",
        "reference",
        "item",
        "training",
        "scan",
        "claim",
        "champion",
        "run",
        "decision",
        "store",
        "scan_tally",
        "reference_set",
        "recipe",
        "item_tally",
        "checkpoint",
    ):
        op.drop_table(table)


# What is counted: the table, the tally's columns, and where their values come from.
TALLIES = {
    "item": {
        "recipe_id": "{row}recipe_id",
        "collection": "{row}collection",
        "status": "{row}status",
        "reason": "coalesce({row}reason, '')",
    },
    "scan": {"collection": "{row}collection", "vanished": "({row}vanished_at IS NOT NULL)"},
}


def create_tallies() -> None:
    """Create the triggers that keep the tallies."""
    create = _create_postgresql if op.get_bind().dialect.name == "postgresql" else _create_sqlite
    for table, columns in TALLIES.items():
        create(table, columns)


def drop_tallies() -> None:
    """Drop the triggers and what they call."""
    for table in TALLIES:
        if op.get_bind().dialect.name == "postgresql":
            for event in ("insert", "update", "delete"):
                op.execute(f"DROP TRIGGER {table}_tally_{event} ON {table}")
            op.execute(f"DROP FUNCTION {table}_tally_count()")
        else:
            for event in ("insert", "update", "delete"):
                op.execute(f"DROP TRIGGER {table}_tally_{event}")


def _create_postgresql(table: str, columns: dict[str, str]) -> None:
    """One trigger a statement, whatever the number of its rows.

    The counts are written in the key's order, so that two sessions that share a slot cannot wait
    for each other in a ring.
    """
    key = ", ".join(columns)
    values = ", ".join(f"{value.format(row='')} AS {name}" for name, value in columns.items())
    after = f"SELECT {values}, 1 AS one FROM after_rows"  # noqa: S608 - names from above
    before = f"SELECT {values}, -1 AS one FROM before_rows"  # noqa: S608 - names from above
    events = {
        "insert": (after, "NEW TABLE AS after_rows"),
        "update": (
            f"{after} UNION ALL {before}",
            "OLD TABLE AS before_rows NEW TABLE AS after_rows",
        ),
        "delete": (before, "OLD TABLE AS before_rows"),
    }
    branches = "".join(
        f"""
        {"IF" if event == "insert" else "ELSIF"} TG_OP = '{event.upper()}' THEN
            INSERT INTO {table}_tally AS tally ({key}, slot, n)
            SELECT {key}, pg_backend_pid() % 16, sum(one) FROM ({rows}) AS rows
            GROUP BY {key} HAVING sum(one) <> 0 ORDER BY {key}
            ON CONFLICT ({key}, slot) DO UPDATE SET n = tally.n + excluded.n;"""  # noqa: S608 - names from above
        for event, (rows, _) in events.items()
    )
    op.execute(
        f"""
        CREATE FUNCTION {table}_tally_count() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN{branches}
        END IF;
        RETURN NULL;
        END $$"""
    )
    for event, (_, tables) in events.items():
        op.execute(
            f"CREATE TRIGGER {table}_tally_{event} AFTER {event.upper()} ON {table} "
            f"REFERENCING {tables} FOR EACH STATEMENT EXECUTE FUNCTION {table}_tally_count()"
        )


def _create_sqlite(table: str, columns: dict[str, str]) -> None:
    """SQLite has triggers a row only, and one writer at a time: one slot will do."""
    key = ", ".join(columns)

    def count(row: str, n: int) -> str:
        values = ", ".join(value.format(row=f"{row}.") for value in columns.values())
        return (
            f"INSERT INTO {table}_tally ({key}, slot, n) VALUES ({values}, 0, {n}) "  # noqa: S608 - names from above
            f"ON CONFLICT ({key}, slot) DO UPDATE SET n = n + excluded.n;"
        )

    differs = " OR ".join(
        f"{value.format(row='OLD.')} IS NOT {value.format(row='NEW.')}"
        for value in columns.values()
    )
    bodies = {
        "insert": ("", count("NEW", 1)),
        "update": (f" WHEN {differs}", count("OLD", -1) + " " + count("NEW", 1)),
        "delete": ("", count("OLD", -1)),
    }
    for event, (condition, body) in bodies.items():
        op.execute(
            f"CREATE TRIGGER {table}_tally_{event} AFTER {event.upper()} ON {table} "
            f"FOR EACH ROW{condition} BEGIN {body} END"
        )
