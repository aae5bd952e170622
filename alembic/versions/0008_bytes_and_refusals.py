"""Bytes decide what a scan is; a person's no stands for scans and bytes; sources do not overlap.

Revision: 0008, after 0007
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from tasks.errors import UsageError

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# Written out here, not imported from tasks.schema: a migration stays what it was when it was run.
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WORD = sa.String(32)
SHA256 = sa.String(64)
DOUBTED = "read_listing != listing"

COUNTS = ("listing", "read_listing")
BY_MACHINE = "('enqueued under another recipe', 'published under another recipe')"
OLDER_REASONS = (
    *("already_colour", "bilevel", "blank", "vanished", "unreadable", "truncated"),
    *("unsupported_format", "too_large", "fixity_mismatch", "killed_worker"),
    *("storage_unavailable", "timeout", "out_of_memory", "low_confidence", "negative_suspected"),
    *("toned", "tone_gate", "write_unverified", "unexpected", "no_device", "no_database"),
    *("no_checkpoint", "output_full", "access_denied"),
)
"""All that the version before knows; its words for others are by the item's status."""
WITHOUT_RECORD = "held before decisions about scans were kept"


def upgrade() -> None:
    """Add what listings are compared by, and note each no that stands."""
    flag: dict[str, Any] = {"nullable": False, "server_default": sa.false()}
    op.add_column("store", sa.Column("is_source", sa.Boolean(), **flag))
    op.add_column("scan", sa.Column("archived", sa.Boolean(), **flag))
    for name in COUNTS:
        op.add_column("scan", sa.Column(name, sa.Integer(), nullable=False, server_default="1"))
    op.create_index(
        "ix_scan_doubted",
        "scan",
        ["store_id", "key"],
        postgresql_where=sa.text(DOUBTED),
        sqlite_where=sa.text(DOUBTED),
    )
    op.create_table(
        "refusal",
        sa.Column("id", ID, sa.Identity(), nullable=False),
        sa.Column("kind", WORD, nullable=False),
        sa.Column("decision_id", ID, nullable=False),
        sa.Column("scan_id", ID, nullable=True),
        sa.Column("sha256", SHA256, nullable=True),
        sa.Column("page", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["decision_id"], ["decision.id"], name="fk_refusal_decision_id"),
        sa.ForeignKeyConstraint(["scan_id"], ["scan.id"], name="fk_refusal_scan_id"),
        sa.PrimaryKeyConstraint("id", name="pk_refusal"),
        comment="A person's no that stands: the scan, or its bytes elsewhere, wait for a person",
    )
    op.create_index("ix_refusal_scan_id", "refusal", ["scan_id"])
    op.create_index("ix_refusal_sha256", "refusal", ["sha256", "page"])
    op.create_table(
        "held_place",
        sa.Column("id", ID, sa.Identity(), nullable=False),
        sa.Column("decision_id", ID, nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["decision_id"], ["decision.id"], name="fk_held_place_decision_id"),
        sa.PrimaryKeyConstraint("id", name="pk_held_place"),
        sa.UniqueConstraint("place", name="uq_held_place_place"),
        comment="Where whatever is discovered is held from the start",
    )
    true = "true" if op.get_bind().dialect.name == "postgresql" else "1"
    op.execute(
        f"UPDATE store SET is_source = {true} "  # noqa: S608 - a constant
        "WHERE EXISTS (SELECT 1 FROM scan WHERE scan.store_id = store.id)"
    )
    for kind in ("hold", "reject", "supersede"):
        note_refusals(kind)


def note_refusals(kind: str) -> None:
    """A row for each item that a person's no keeps where it is."""
    status = {"hold": "held", "reject": "rejected", "supersede": "superseded"}[kind]
    decided = (
        "SELECT max(decision.id) FROM decision "  # noqa: S608 - constants
        "JOIN decision_item ON decision_item.decision_id = decision.id "
        "JOIN item AS other ON other.id = decision_item.item_id "
        f"WHERE other.scan_id = item.scan_id AND decision.kind = '{kind}'"
    )
    if kind == "supersede":  # of a person, and of this very item
        decided += f" AND other.id = item.id AND decision.why NOT IN {BY_MACHINE}"
    where = f"item.status = '{status}'"
    if kind == "hold":  # where nobody noted who did it
        unknown = f"SELECT item.id FROM item WHERE {where} AND ({decided}) IS NULL LIMIT 1"  # noqa: S608 - constants
        if op.get_bind().execute(sa.text(unknown)).first() is not None:
            make_decision()
            decided = f"SELECT coalesce(({decided}), (SELECT max(id) FROM decision))"  # noqa: S608 - constants
    op.execute(
        "INSERT INTO refusal (kind, decision_id, scan_id, sha256, page) "  # noqa: S608 - constants
        "SELECT DISTINCT kind, decision_id, scan_id, sha256, page FROM ("
        f"SELECT '{kind}' AS kind, ({decided}) AS decision_id, item.scan_id AS scan_id, "
        "CASE WHEN item.revision = scan.revision THEN scan.sha256 ELSE (SELECT old.sha256 "
        "FROM scan_revision AS old WHERE old.scan_id = scan.id AND old.revision = item.revision) "
        "END AS sha256, scan.page AS page "
        f"FROM item JOIN scan ON scan.id = item.scan_id WHERE {where}) AS found "
        "WHERE decision_id IS NOT NULL"
    )


def make_decision() -> None:
    """Stand in for the decisions that nobody noted."""
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    now = "now()" if is_postgresql else "strftime('%Y-%m-%d %H:%M:%f', 'now')"
    op.execute(
        "INSERT INTO decision (kind, who, why, decided_at, scope) "  # noqa: S608 - constants
        f"VALUES ('hold', 'db upgrade', '{WITHOUT_RECORD}', {now}, '{{}}')"
    )


def downgrade() -> None:
    """Forget them, and say what is there in the words of before.

    Raises:
        UsageError: Holds stand that the older version has no place for; nothing was changed.
    """
    refuse_to_free_what_is_held()
    op.drop_table("held_place")
    op.drop_table("refusal")
    op.drop_index("ix_scan_doubted", "scan")
    # What a listing told before, of bytes that are the same.
    op.execute(
        "DELETE FROM scan_revision WHERE EXISTS (SELECT 1 FROM scan "
        "WHERE scan.id = scan_revision.scan_id AND scan.revision <= scan_revision.revision)"
    )
    for name in (*COUNTS, "archived"):
        op.drop_column("scan", name)
    op.drop_column("store", "is_source")
    put_in_older_words()


def refuse_to_free_what_is_held() -> None:
    """The older version would colour and publish what only the tables that go now hold back."""
    places = count("held_place")
    scans = count(
        "scan WHERE EXISTS (SELECT 1 FROM refusal WHERE refusal.scan_id = scan.id "
        "AND refusal.kind = 'hold') AND NOT EXISTS (SELECT 1 FROM item "
        "WHERE item.scan_id = scan.id AND item.status IN ('held', 'rejected'))"
    )
    if places or scans:
        message = (
            f"{places} places and {scans} scans without an item are held, and revision "
            f"{down_revision} cannot hold them: its version would colour and publish them. Nothing "
            "was changed. Note what is held (`autochrome status`), keep it out of the sources, let "
            "go of it with `autochrome release` and downgrade again; or restore the ledger from a "
            "copy"
        )
        raise UsageError(message)


def count(what: str) -> int:
    """How many rows."""
    found: int = op.get_bind().execute(sa.text(f"SELECT count(*) FROM {what}")).scalar_one()  # noqa: S608 - constants
    return found


def put_in_older_words() -> None:
    """The version before reads no others. What waits for an archive class is tried again."""
    op.execute(
        "UPDATE item SET status = 'failed', reason = 'storage_unavailable' "
        "WHERE status = 'skipped' AND reason = 'archived'"
    )
    op.execute("UPDATE attempt SET reason = 'storage_unavailable' WHERE reason = 'archived'")
    columns = (("item", "status", "reason"), ("attempt", "status", "reason"))
    for table, status, reason in (*columns, ("decision_item", "was", "was_reason")):
        op.execute(
            f"UPDATE {table} SET {reason} = CASE {status} WHEN 'skipped' THEN 'vanished' "  # noqa: S608 - constants
            f"WHEN 'failed' THEN 'unexpected' WHEN 'quarantined' THEN 'unreadable' END "
            f"WHERE {reason} NOT IN {OLDER_REASONS}"
        )
    kinds = {"archived": "vanished", "left_out": "vanished", "restored": "reappeared"}
    for kind, older in kinds.items():
        op.execute(
            f"UPDATE decision SET kind = 'scan_{older}' WHERE kind = 'scan_{kind}'"  # noqa: S608 - constants
        )
    op.execute("UPDATE run SET ending = 'aborted' WHERE ending = 'lost'")
