"""The ledger.

Revision: 0100, that of release 0.1.0. Lower numbers were never released.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.schema import SchemaItem
from sqlalchemy.types import TypeEngine

revision = "0100"
down_revision = None
branch_labels = None
depends_on = None

# Written out here, not imported from tasks.schema: a migration stays what it was when it was run.
# What columns are for and indexes serve is said there; its naming convention names the keys.
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True).with_variant(sa.String(23), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
WORD = sa.String(32)
SHA256 = sa.String(64)
TEXT = sa.Text()
SMALL, WHOLE, BIG = sa.SmallInteger(), sa.Integer(), sa.BigInteger()
REAL, FLAG = sa.Float(), sa.Boolean()

STATUSES = (
    *("pending", "claimed", "published", "review", "skipped", "failed", "quarantined", "held"),
    *("rejected", "superseded"),
)
SETTLED = (
    "status IN ('published', 'review', 'skipped', 'failed', 'quarantined', 'held', 'rejected')"
)

# PostgreSQL does not check a batch's rows against rows that they share: a check looks that row up
# and locks it. Of the server's time for a batch a ninth went into claims and stores, and of that
# for finishing one nearly a fifth into items that the same transaction had just changed; a third of
# inserting new scans went into locking the one row of their run, 5,000 times a statement (EXPLAIN
# ANALYZE). The rows referred to are made in the same transaction or before it, and never deleted.
UNCHECKED = {
    "scan": {"store_id", "run_id"},
    "item": {"claim_id"},
    "attempt": {"claim_id", "item_id"},
    "derivative": {"store_id", "item_id"},
}

# What triggers count: what for, the table, where the tally's columns come from, which rows.
OF_ITEM = {"status": "{row}status", "reason": "coalesce({row}reason, '')"}
TALLIES = {
    "item_tally": (
        "Items by status and reason",
        "item",
        {"recipe_id": "{row}recipe_id", "collection": "{row}collection", **OF_ITEM},
        "true",
    ),
    "order_tally": (
        "An order's items by collection, status and reason",
        "item",
        {"order_id": "{row}order_id", "collection": "{row}collection", **OF_ITEM},
        "{row}order_id IS NOT NULL",
    ),
    "scan_tally": (
        "Scans by collection",
        "scan",
        {"collection": "{row}collection", "vanished": "({row}vanished_at IS NOT NULL)"},
        "true",
    ),
}
KINDS: dict[str, TypeEngine[Any]] = {
    "recipe_id": ID,
    "order_id": ID,
    "collection": TEXT,
    "status": WORD,
    "reason": WORD,
    "vanished": FLAG,
}
EVENTS = ("insert", "update", "delete")

# The words of what scans are called, of those that were read: discovery, which finds them by the
# million, does not pay for it. SQLite's index is kept by triggers.
PUNCTUATION = """!"#$%&''()*+,-./:;<=>?@[\\]^_`{|}~"""
WORDS_CHANGE = {
    "insert": ("INSERT", "NEW.sha256 IS NOT NULL"),
    "update": (
        "UPDATE OF sha256, title",
        "(OLD.sha256 IS NULL) <> (NEW.sha256 IS NULL) OR OLD.title IS NOT NEW.title",
    ),
    "delete": ("DELETE", "OLD.sha256 IS NOT NULL"),
}
WORDS_LEAVE = (
    "INSERT INTO scan_words (scan_words, rowid, key, title) "
    "SELECT 'delete', OLD.id, OLD.key, OLD.title WHERE OLD.sha256 IS NOT NULL;"
)
WORDS_ENTER = (
    "INSERT INTO scan_words (rowid, key, title) "
    "SELECT NEW.id, NEW.key, NEW.title WHERE NEW.sha256 IS NOT NULL;"
)


def upgrade() -> None:
    """Make every table, and the triggers that count."""
    make_archive()
    make_orders()
    make_items()
    make_models()
    make_decisions()
    make_films()
    make_desk()
    make_tallies()
    make_search()
    if is_postgresql():
        # Claimed items leave dead entries at the head of the index that claims read from. Vacuumed
        # away at 2 % and not at the default 20 %, they cost a claim among 10 M items 1 ms, not 10.
        op.execute(
            "ALTER TABLE item SET (autovacuum_vacuum_scale_factor = 0.02, "
            "autovacuum_analyze_scale_factor = 0.02)"
        )
        # A scan is updated once, when it is first read, and grows by half: where its page has room
        # for that, no index is written.
        op.execute("ALTER TABLE scan SET (fillfactor = 65)")


def downgrade() -> None:
    """Leave an empty database."""
    if not is_postgresql():
        op.execute("DROP TABLE scan_words")
        for event in WORDS_CHANGE:
            op.execute(f"DROP TRIGGER scan_words_{event}")
    for tally, (_, counted, _, _) in TALLIES.items():
        for event in EVENTS:
            on = f" ON {counted}" if is_postgresql() else ""
            op.execute(f"DROP TRIGGER {tally}_{event}{on}")
        if is_postgresql():
            op.execute(f"DROP FUNCTION {tally}_count()")
    for name in (
        *("item_tally", "order_tally", "scan_tally", "opinion", "desk_session", "person"),
        *("held_place", "refusal", "champion", "shot"),
        *("decision_item", "decision", "training", "reference_set_member", "reference_set"),
        *("reference", "scan_fixity", "derivative_fixity", "derivative", "attempt", "item"),
        "correction",
        *(
            "claim",
            "share",
            "work_order",
            "outage",
            "link",
            "scan_revision",
            "scan",
            "store",
            "run",
            "recipe",
        ),
        "checkpoint",
    ):
        op.drop_table(name)


def make_archive() -> None:
    """What runs find, and what they colour it with."""
    table(
        "checkpoint",
        "Weights that may colour scans, by the digest of their file",
        own_id(),
        must("digest", SHA256, unique=True),
        must("name", TEXT),
        must("url", TEXT),
        must("card", JSON),
        must("registered_by", TEXT),
        must("registered_at", MOMENT),
    )
    table(
        "recipe",
        "All that decides a derivative's pixels",
        own_id(),
        must("digest", SHA256, unique=True),
        must("checkpoint_digest", SHA256),
        must("outputs", JSON),
        must("created_at", MOMENT),
        must("used_at", MOMENT),
    )
    table(
        "run",
        "One flow run, as the ledger saw it",
        own_id(),
        must("kind", WORD),
        must("name", TEXT),
        may("flow_run_id", sa.String(36)),
        may("recipe_id", ID, to="recipe"),
        must("started_at", MOMENT),
        must("seen_at", MOMENT),
        may("ended_at", MOMENT),
        may("ending", WORD),
        may("detail", TEXT),
        must("figures", JSON),
    )
    index("ix_run_kind_started_at", "run", ["kind", "started_at"])
    table(
        "store",
        "A place by its normalised URL: a source of scans, or where derivatives go",
        own_id(),
        must("url", TEXT, unique=True),
        must("is_source", FLAG, server_default=sa.false()),
    )
    table(
        "scan",
        "One picture in the archive: a page of an object in a store. Never deleted",
        own_id(),
        must("store_id", ID, to="store"),
        must("key", KEY),
        must("page", WHOLE),
        must("collection", TEXT),
        must("size_bytes", BIG),
        must("etag", TEXT),
        may("version", TEXT),
        must("modified_at", MOMENT),
        must("revision", WHOLE),
        may("run_id", ID, to="run"),
        must("found_at", MOMENT),
        may("vanished_at", MOMENT),
        must("archived", FLAG, server_default=sa.false()),
        must("listing", WHOLE, server_default="1"),
        must("read_listing", WHOLE, server_default="1"),
        may("sha256", SHA256),
        may("width", WHOLE),
        may("height", WHOLE),
        may("bits", SMALL),
        may("pages", WHOLE),
        may("title", TEXT),
        may("frames", BIG),
        may("film_s", REAL),
        sa.UniqueConstraint("store_id", "key", "page"),
    )
    index("ix_scan_collection_id", "scan", ["collection", "id"])
    index("ix_scan_sha256", "scan", ["sha256"])
    index("ix_scan_page", "scan", ["id"], where="pages > 1")
    index("ix_scan_film", "scan", ["id"], where="frames IS NOT NULL")
    index("ix_scan_doubted", "scan", ["store_id", "key"], where="read_listing != listing")
    table(
        "scan_revision",
        "What a scan was before its file changed",
        key("scan_id", ID, to="scan"),
        key("revision", WHOLE),
        must("size_bytes", BIG),
        must("etag", TEXT),
        may("version", TEXT),
        must("modified_at", MOMENT),
        may("sha256", SHA256),
        must("replaced_at", MOMENT),
    )
    table(
        "link",
        "A link that leads out of a source: its scans are known by what it leads to, too",
        own_id(),
        must("store_id", ID, to="store"),
        must("key", KEY),
        must("target", KEY),
        sa.UniqueConstraint("store_id", "key"),
    )
    index("ix_link_target", "link", ["target"])
    table(
        "outage",
        "A source, or a folder in one, of which nothing can be read now",
        own_id(),
        must("store_id", ID, to="store"),
        must("place", KEY),
        must("why", TEXT),
        must("since", MOMENT),
        must("until", MOMENT),
        sa.UniqueConstraint("store_id", "place"),
    )


def make_orders() -> None:
    """Who asked for what, and who works on it."""
    table(
        "work_order",
        "Scans to be coloured because a person or a schedule asked for it",
        own_id(),
        must("kind", WORD, server_default="backfill"),
        must("run_id", ID, to="run"),
        must("recipe_id", ID, to="recipe"),
        must("state", WORD),
        must("mode", WORD),
        must("scope", JSON),
        must("priority", SMALL),
        may("deadline_at", MOMENT),
        may("max_items", BIG),
        may("max_bytes", BIG),
        may("max_seconds", REAL),
        must("looked_at", ID),
        must("last_scan_id", ID),
        must("items", BIG),
        must("size_bytes", BIG),
        must("who", TEXT),
        must("why", TEXT, server_default=""),
        must("detail", TEXT),
        must("created_at", MOMENT),
        must("changed_at", MOMENT),
        may("ended_at", MOMENT),
        must("figures", JSON),
    )
    index("ix_work_order_open", "work_order", ["priority", "id"], where="ended_at IS NULL")
    table(
        "share",
        "What one flow run on one worker takes of an order",
        own_id(),
        must("order_id", ID, to="work_order"),
        must("number", WHOLE),
        may("flow_run_id", sa.String(36)),
        must("worker", TEXT, server_default=""),
        may("max_items", WHOLE),
        may("max_seconds", REAL),
        must("created_at", MOMENT),
        may("begun_at", MOMENT),
        must("seen_at", MOMENT),
        may("ended_at", MOMENT),
        may("ending", WORD),
        must("detail", TEXT),
        must("items", WHOLE),
        must("figures", JSON, server_default="{}"),
        sa.UniqueConstraint("order_id", "number"),
    )
    index("ix_share_open", "share", ["order_id"], where="ended_at IS NULL")
    table(
        "claim",
        "One batch in the hands of one worker: the lease that its items share",
        own_id(),
        must("token", WORD, unique=True),
        must("worker", TEXT),
        must("recipe_id", ID, to="recipe"),
        may("run_id", ID, to="run"),
        must("max_attempts", SMALL),
        must("claimed_at", MOMENT),
        must("expires_at", MOMENT),
        may("ended_at", MOMENT),
        must("finished", WHOLE),
        must("failed", WHOLE),
        must("source_bytes", BIG, server_default="0"),
        must("derivative_bytes", BIG, server_default="0"),
    )
    index("ix_claim_open", "claim", ["expires_at"], where="ended_at IS NULL")
    index("ix_claim_run_id", "claim", ["run_id"])


def make_items() -> None:
    """What becomes of a scan under a recipe."""
    table(
        "item",
        "One scan under one recipe",
        own_id(),
        must("scan_id", ID, to="scan"),
        must("recipe_id", ID, to="recipe"),
        must("collection", TEXT),
        must("revision", WHOLE),
        must("status", WORD),
        may("reason", WORD),
        may("detail", TEXT),
        must("attempts", SMALL),
        must("alone", FLAG),
        may("claim_id", ID, to="claim"),
        must("not_before", MOMENT),
        must("created_at", MOMENT),
        must("changed_at", MOMENT),
        may("confidence", REAL),
        may("notes", TEXT),
        must("correction_id", ID, server_default="0"),
        may("order_id", ID, to="work_order"),
        sa.UniqueConstraint("scan_id", "recipe_id"),
        sa.CheckConstraint(f"status IN {STATUSES}", name="status"),
    )
    for name, columns, rows in (
        (
            "ix_item_order",
            ["order_id", "not_before", "id"],
            "status = 'pending' AND alone IS {false} AND order_id IS NOT NULL",
        ),
        (
            "ix_item_alone",
            ["order_id", "not_before", "id"],
            "status = 'pending' AND alone IS {true}",
        ),
        ("ix_item_pending", ["not_before"], "status = 'pending' AND order_id IS NULL"),
        ("ix_item_claimed", ["claim_id"], "status = 'claimed'"),
        (
            "ix_item_looked_after",
            ["recipe_id", "status", "reason", "id"],
            "status IN ('review', 'skipped', 'failed', 'quarantined', 'held', 'rejected')",
        ),
        (
            "ix_item_review_confidence",
            ["collection", "reason", "confidence", "id"],
            "status = 'review'",
        ),
        (
            "ix_item_settled",
            ["status", "collection", "reason", "changed_at", "id"],
            SETTLED,
        ),
        (
            "ix_item_settled_order",
            ["order_id", "status", "collection", "reason", "changed_at", "id"],
            SETTLED,
        ),
    ):
        index(name, "item", columns, where=rows)
    table(
        "correction",
        "What a person said of a scan's colours; the latest that stands counts (of a film, of "
        "each frame). Never deleted",
        own_id(),
        must("scan_id", ID, to="scan"),
        must("sha256", SHA256),
        must("page", WHOLE),
        may("frame", BIG),
        must("said", JSON),
        may("parent_id", ID, to="correction"),
        must("who", TEXT),
        must("note", TEXT),
        must("made_at", MOMENT),
        may("withdrawn_by", TEXT),
        may("withdrawn_at", MOMENT),
        may("withdrawn_why", TEXT),
    )
    index("ix_correction_scan_id", "correction", ["scan_id"])
    index("ix_correction_sha256", "correction", ["sha256", "page", "id"])
    table(
        "attempt",
        "One claim of one item, written when it ends (an open one is the item's claim)",
        own_id(),
        must("item_id", ID, to="item"),
        must("claim_id", ID, to="claim"),
        must("revision", WHOLE),
        must("number", SMALL),
        must("ending", WORD),
        must("status", WORD),
        may("reason", WORD),
        may("detail", TEXT),
        may("seconds", REAL),
        must("ended_at", MOMENT),
    )
    index("ix_attempt_item_id", "attempt", ["item_id"])
    table(
        "derivative",
        "A file written for an item, read back and verified before it is recorded",
        own_id(),
        must("item_id", ID, to="item"),
        must("revision", WHOLE),
        must("correction_id", ID, server_default="0"),
        must("kind", WORD),
        must("store_id", ID, to="store"),
        must("key", KEY),
        must("content_type", TEXT),
        must("size_bytes", BIG),
        must("sha256", SHA256),
        may("max_delta_l", REAL),
        may("mean_delta_l", REAL),
        may("luma_identical", FLAG),
        must("written_at", MOMENT),
        sa.UniqueConstraint("item_id", "revision", "kind", "correction_id"),
    )
    for subject in ("derivative", "scan"):
        table(
            f"{subject}_fixity",
            f"The latest audit of each {subject}'s file",
            key("subject_id", ID, to=subject),
            must("run_id", ID, to="run"),
            must("outcome", WORD),
            may("sha256", SHA256),
            may("detail", TEXT),
            must("checked_at", MOMENT),
        )


def make_models() -> None:
    """References, and what was learnt from them."""
    table(
        "reference",
        "A colour picture that a curator supplied, or a derivative that one has corrected",
        own_id(),
        must("store_id", ID, to="store"),
        must("key", KEY),
        must("origin", TEXT),
        must("collection", TEXT),
        must("sha256", SHA256, unique=True),
        must("size_bytes", BIG),
        must("width", WHOLE),
        must("height", WHOLE),
        must("split", WORD),
        must("phash", sa.String(16)),
        must("kind", WORD),
        must("certainty", WORD),
        must("rights", TEXT),
        must("citation", TEXT),
        must("date", TEXT),
        must("place", TEXT),
        must("curator", TEXT),
        must("note", TEXT),
        must("delivery", WORD),
        must("vouched", FLAG),
        may("scan_id", ID, to="scan"),
        may("corrects_item_id", ID, to="item"),
        must("added_by", TEXT),
        must("added_at", MOMENT),
        may("withdrawn_by", TEXT),
        may("withdrawn_at", MOMENT),
        may("withdrawn_why", TEXT),
    )
    table(
        "reference_set",
        "A frozen list of references, by the digest of its members and their roles",
        own_id(),
        must("digest", SHA256, unique=True),
        must("frozen_at", MOMENT),
        must("frozen_by", TEXT),
    )
    table(
        "reference_set_member",
        None,
        key("reference_set_id", ID, to="reference_set"),
        key("reference_id", ID, to="reference"),
        must("role", WORD),
        sa.CheckConstraint("role IN ('train', 'evaluation')", name="role"),
    )
    table(
        "training",
        "One fine-tuning: from which checkpoint, on which references, to what end",
        own_id(),
        may("run_id", ID, to="run"),
        must("reference_set_id", ID, to="reference_set"),
        must("parent_id", ID, to="checkpoint"),
        may("challenger_id", ID, to="checkpoint"),
        must("started_at", MOMENT),
        may("ended_at", MOMENT),
        must("figures", JSON),
        may("verdict", WORD),
        may("why", TEXT),
    )


def make_decisions() -> None:
    """What people decided."""
    table(
        "decision",
        "Who changed what about items or the champion, when and why",
        own_id(),
        must("kind", WORD),
        must("who", TEXT),
        must("why", TEXT),
        must("decided_at", MOMENT),
        must("scope", JSON),
        may("checkpoint_id", ID, to="checkpoint"),
        may("previous_checkpoint_id", ID, to="checkpoint"),
        may("order_id", ID, to="work_order"),
        may("seconds", REAL),
    )
    index("ix_decision_timed", "decision", ["decided_at"], where="seconds IS NOT NULL")
    table(
        "decision_item",
        "The items that a decision moved",
        key("decision_id", ID, to="decision"),
        key("item_id", ID, to="item"),
        must("was", WORD),
        may("was_reason", WORD),
        must("became", WORD),
    )
    index("ix_decision_item_item_id", "decision_item", ["item_id"])
    table(
        "champion",
        "The checkpoint in service; its history is in the decisions",
        key("slot", sa.String(16)),
        must("checkpoint_id", ID, to="checkpoint"),
        must("decision_id", ID, to="decision"),
        must("since", MOMENT),
    )
    table(
        "refusal",
        "A person's no that stands: the scan, or its bytes elsewhere, wait for a person",
        own_id(),
        must("kind", WORD),
        must("decision_id", ID, to="decision"),
        may("scan_id", ID, to="scan"),
        may("sha256", SHA256),
        must("page", WHOLE),
    )
    index("ix_refusal_scan_id", "refusal", ["scan_id"])
    index("ix_refusal_sha256", "refusal", ["sha256", "page"])
    table(
        "held_place",
        "Where whatever is discovered is held from the start",
        own_id(),
        must("decision_id", ID, to="decision"),
        must("place", TEXT, unique=True),
    )


def make_films() -> None:
    """What films are shared by."""
    table(
        "shot",
        "A stretch of a film between cuts, which one worker colours",
        own_id(),
        must("item_id", ID, to="item"),
        must("revision", WHOLE),
        must("number", WHOLE),
        must("first_frame", BIG),
        must("frames", WHOLE),
        must("lead", WHOLE),
        must("tail", WHOLE),
        may("seek", BIG),
        must("status", WORD),
        may("order_id", ID, to="work_order"),
        sa.Column("token", WORD, unique=True),
        must("worker", TEXT, server_default=""),
        must("due_at", MOMENT),
        must("attempts", SMALL, server_default="0"),
        may("reason", WORD),
        may("detail", TEXT),
        may("segment_key", KEY),
        may("segment_sha256", SHA256),
        may("segment_bytes", BIG),
        may("poster_key", KEY),
        may("luma_sha256", SHA256),
        may("confidence", REAL),
        may("seconds", REAL),
        may("finished_at", MOMENT),
        must("is_grey", FLAG, server_default=sa.false()),
        must("correction_id", ID, server_default="0"),
        may("verdict", WORD),
        may("decision_id", ID, to="decision"),
        sa.UniqueConstraint("item_id", "revision", "number"),
        sa.CheckConstraint("status IN ('open', 'claimed', 'done', 'failed')", name="status"),
    )
    index("ix_shot_order_id", "shot", ["order_id"])
    index("ix_shot_due", "shot", ["due_at"], where="status IN ('open', 'claimed')")


def make_desk() -> None:
    """Who may use the curators' pages, and what one of two who must agree thinks."""
    table(
        "person",
        "Who may use the desk",
        own_id(),
        must("name", TEXT, unique=True),
        must("role", WORD),
        must("password", TEXT),
        must("added_at", MOMENT),
    )
    table(
        "desk_session",
        "A person who is signed in at the desk with one browser",
        key("digest", SHA256),
        must("person_id", ID, to="person"),
        must("began_at", MOMENT),
        must("expires_at", MOMENT),
    )
    index("ix_desk_session_person_id", "desk_session", ["person_id"])
    table(
        "opinion",
        "What one of two who must agree has decided about an item that waits for review",
        key("item_id", ID, to="item"),
        key("who", TEXT),
        must("kind", WORD),
        must("why", TEXT),
        may("seconds", REAL),
        must("given_at", MOMENT),
    )


def make_tallies() -> None:
    """The counts, and the triggers that keep them."""
    count = count_on_postgresql if is_postgresql() else count_on_sqlite
    for tally, (comment, counted, columns, rows) in TALLIES.items():
        table(
            tally,
            f"{comment}, kept by triggers on {counted}",
            *(key(name, KINDS[name]) for name in columns),
            key("slot", SMALL),
            must("n", BIG),
        )
        count(tally, counted, columns, rows)


def make_search() -> None:
    """The index of words by which people look for scans."""
    if is_postgresql():
        op.execute(
            "CREATE INDEX ix_scan_words ON scan USING gin (to_tsvector('simple', "
            f"translate(key || ' ' || coalesce(title, ''), '{PUNCTUATION}', "
            f"'{' ' * 32}'))) WHERE sha256 IS NOT NULL"
        )
        return
    op.execute(
        "CREATE VIRTUAL TABLE scan_words USING fts5 (key, title, content = 'scan', "
        "content_rowid = 'id', detail = none, columnsize = 0, "
        "tokenize = 'unicode61 remove_diacritics 0')"
    )
    for name, (event, condition) in WORDS_CHANGE.items():
        body = (WORDS_LEAVE if name != "insert" else "") + (WORDS_ENTER if name != "delete" else "")
        op.execute(
            f"CREATE TRIGGER scan_words_{name} AFTER {event} ON scan FOR EACH ROW "
            f"WHEN {condition} BEGIN {body} END"
        )


# --- columns, tables and indexes ------------------------------------------------------------------


def is_postgresql() -> bool:
    """Whether the database is PostgreSQL, and not SQLite."""
    return op.get_bind().dialect.name == "postgresql"


def own_id() -> sa.Column[Any]:
    """A table's own key, counted up by the database."""
    return sa.Column("id", ID, sa.Identity(), primary_key=True)


def must(
    name: str,
    kind: TypeEngine[Any],
    *,
    to: str = "",
    unique: bool = False,
    server_default: str | ColumnElement[bool] | None = None,
) -> sa.Column[Any]:
    """A column that is never NULL; a link where it names a table."""
    return sa.Column(
        name, kind, *link(to), nullable=False, unique=unique, server_default=server_default
    )


def may(name: str, kind: TypeEngine[Any], *, to: str = "") -> sa.Column[Any]:
    """A column that may be NULL."""
    return sa.Column(name, kind, *link(to))


def key(name: str, kind: TypeEngine[Any], *, to: str = "") -> sa.Column[Any]:
    """A part of the table's key that is given, not counted up."""
    return sa.Column(name, kind, *link(to), primary_key=True, autoincrement=False)


def link(to: str) -> list[sa.ForeignKey]:
    """The foreign key to a table."""
    return [sa.ForeignKey(f"{to}.id")] if to else []


def table(name: str, comment: str | None, *parts: SchemaItem) -> None:
    """Make a table, without the links that PostgreSQL does not check."""
    unchecked = UNCHECKED.get(name, set()) if is_postgresql() else set()
    kept = [
        sa.Column(part.name, part.type, nullable=part.nullable)
        if isinstance(part, sa.Column) and part.name in unchecked
        else part
        for part in parts
    ]
    op.create_table(name, *kept, comment=comment)


def index(name: str, of: str, columns: list[str], *, where: str = "") -> None:
    """Make an index; a partial one's predicate in both databases' words."""
    partial: dict[str, Any] = {
        "postgresql_where": sa.text(where.format(true="true", false="false")),
        "sqlite_where": sa.text(where.format(true="1", false="0")),
    }
    op.create_index(name, of, columns, **(partial if where else {}))


# --- triggers -------------------------------------------------------------------------------------


def count_on_postgresql(tally: str, counted: str, columns: dict[str, str], rows: str) -> None:
    """One trigger a statement, whatever the number of its rows.

    The counts are written in the key's order, so that two sessions that share a slot cannot wait
    for each other in a ring.
    """
    names = ", ".join(columns)
    values = ", ".join(f"{value.format(row='')} AS {name}" for name, value in columns.items())
    after, before = (
        f"SELECT {values}, {one} AS one FROM {moved} WHERE {rows.format(row='')}"  # noqa: S608 - names from above
        for moved, one in (("after_rows", 1), ("before_rows", -1))
    )
    changes = {"insert": after, "update": f"{after} UNION ALL {before}", "delete": before}
    branches = "".join(
        f"""
        {"IF" if event == "insert" else "ELSIF"} TG_OP = '{event.upper()}' THEN
            INSERT INTO {tally} AS tally ({names}, slot, n)
            SELECT {names}, pg_backend_pid() % 16, sum(one) FROM ({changes[event]}) AS rows
            GROUP BY {names} HAVING sum(one) <> 0 ORDER BY {names}
            ON CONFLICT ({names}, slot) DO UPDATE SET n = tally.n + excluded.n;"""  # noqa: S608 - names from above
        for event in EVENTS
    )
    op.execute(
        f"""
        CREATE FUNCTION {tally}_count() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN{branches}
        END IF;
        RETURN NULL;
        END $$"""
    )
    new, old = "NEW TABLE AS after_rows", "OLD TABLE AS before_rows"
    seen = {"insert": new, "update": f"{old} {new}", "delete": old}
    for event in EVENTS:
        op.execute(
            f"CREATE TRIGGER {tally}_{event} AFTER {event.upper()} ON {counted} "
            f"REFERENCING {seen[event]} FOR EACH STATEMENT EXECUTE FUNCTION {tally}_count()"
        )


def count_on_sqlite(tally: str, counted: str, columns: dict[str, str], rows: str) -> None:
    """SQLite has triggers a row only, and one writer at a time: one slot will do."""
    names = ", ".join(columns)

    def add(row: str, n: int) -> str:
        values = ", ".join(value.format(row=f"{row}.") for value in columns.values())
        return (
            f"INSERT INTO {tally} ({names}, slot, n) "
            f"SELECT {values}, 0, {n} WHERE {rows.format(row=f'{row}.')} "
            f"ON CONFLICT ({names}, slot) DO UPDATE SET n = n + excluded.n;"
        )

    new, old = (rows.format(row=row) for row in ("NEW.", "OLD."))
    differs = " OR ".join(
        f"{value.format(row='OLD.')} IS NOT {value.format(row='NEW.')}"
        for value in columns.values()
    )
    bodies = {
        "insert": (new, add("NEW", 1)),
        "update": (f"({old} OR {new}) AND ({differs})", f"{add('OLD', -1)} {add('NEW', 1)}"),
        "delete": (old, add("OLD", -1)),
    }
    for event, (condition, body) in bodies.items():
        op.execute(
            f"CREATE TRIGGER {tally}_{event} AFTER {event.upper()} ON {counted} "
            f"FOR EACH ROW WHEN {condition} BEGIN {body} END"
        )
