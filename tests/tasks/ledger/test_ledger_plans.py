"""The hot statements go through the indexes that were made for them.

The tables are small here, so PostgreSQL is told not to read them whole.
"""

import re

import pytest
from sqlalchemy import Connection, Executable, and_, select, text
from sqlalchemy.dialects import postgresql, sqlite

from tasks.ledger import ItemFilter, Ledger, claims, discovery
from tasks.ledger.changes import Place, ensure_store
from tasks.ledger.curating.queue import Queue, Walk
from tasks.ledger.filters import condition_of, scans_at
from tasks.ledger.sweeping import EXPIRED
from tasks.schema import CLAIMED, PENDING_FOR_NONE, ItemStatus, item, scan
from tests.tasks.ledger.building import SOURCE, enqueued, keys, listing


def indexes_of(ledger: Ledger, statement: Executable, **parameters: object) -> set[str]:
    """The names of the indexes that the database means to use."""

    def explain(connection: Connection) -> str:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL enable_seqscan = off"))
            connection.execute(text("SET LOCAL enable_sort = off"))
            prefix, dialect = "EXPLAIN ", postgresql.dialect()
        else:
            prefix, dialect = "EXPLAIN QUERY PLAN ", sqlite.dialect()
        compiled = statement.params(**parameters).compile(  # type: ignore[attr-defined]
            dialect=dialect, compile_kwargs={"literal_binds": True}
        )
        rows = connection.exec_driver_sql(prefix + str(compiled).replace("%", "%%"))
        return "\n".join(str(tuple(row)) for row in rows)

    return set(re.findall(r"\b(?:ix|uq|pk|sqlite_autoindex)_\w+", ledger.read(explain)))


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    """A ledger with some items."""
    enqueued(ledger, 50)
    return ledger


def test_claiming_reads_the_head_of_its_index(filled: Ledger) -> None:
    """Already in order: nothing is sorted, and items of other orders are not read."""
    mine = {"recipe": 1, "order": 1, "most": 64}
    assert "ix_item_order" in indexes_of(filled, claims._TOGETHER, **mine)
    assert "ix_item_alone" in indexes_of(filled, claims._SUSPECT, **mine)


def test_what_waits_for_nobody_is_found_at_once(filled: Ledger) -> None:
    """However much waits for orders."""
    oldest = select(item.c.not_before).where(PENDING_FOR_NONE).order_by(item.c.not_before).limit(1)
    assert indexes_of(filled, oldest) == {"ix_item_pending"}


def test_batches_are_found_by_their_claim(filled: Ledger) -> None:
    """For finishing, giving back and sweeping."""
    held = select(item.c.id).where(and_(CLAIMED, item.c.claim_id == 1))
    assert indexes_of(filled, held) == {"ix_item_claimed"}


def test_expired_leases_are_found_among_the_open_ones(filled: Ledger) -> None:
    """Not among all claims there ever were."""
    assert indexes_of(filled, EXPIRED) == {"ix_claim_open"}


def test_lists_of_what_people_look_after(filled: Ledger) -> None:
    """By recipe, status and reason."""
    chosen = ItemFilter(statuses=[ItemStatus.FAILED, ItemStatus.QUARANTINED], recipe_id=1)
    where = filled.read(lambda c: condition_of(c, chosen))
    assert indexes_of(filled, select(item.c.id).where(where)) == {"ix_item_looked_after"}


@pytest.mark.parametrize(
    ("chosen", "index"),
    [
        (Queue(), "ix_item_review_confidence"),
        (Queue(order="oldest"), "ix_item_settled"),
        (Queue(status=ItemStatus.PUBLISHED), "ix_item_settled"),
        (Queue(status=ItemStatus.FAILED, order_id=1), "ix_item_settled_order"),
    ],
)
def test_the_desk_reads_the_head_of_an_index(filled: Ledger, chosen: Queue, index: str) -> None:
    """The queue and the wall: of each collection and reason, already in order."""

    def head(connection: Connection) -> Executable:
        there = Walk(connection, chosen, None, 5, is_backwards=False).there()
        heap = and_(*there, item.c.collection == "photographs", item.c.reason.is_(None))
        key = item.c.changed_at if chosen.is_by_time else item.c.confidence
        return select(key, item.c.id).where(heap).order_by(item.c.reason, key, item.c.id)

    assert indexes_of(filled, filled.read(head)) == {index}


def test_a_decision_about_a_whole_filter_finds_its_items(filled: Ledger) -> None:
    """Without reading all that were ever published."""
    chosen = ItemFilter(statuses=[ItemStatus.PUBLISHED], collections=["photographs"])
    where = filled.read(lambda c: condition_of(c, chosen))
    wanted = select(item.c.changed_at).where(where).order_by(item.c.reason, item.c.changed_at)
    assert indexes_of(filled, wanted) == {"ix_item_settled"}


@pytest.mark.parametrize("uri", [f"{SOURCE}/box/0001.tif", f"{SOURCE}/box/", f"{SOURCE}/box/0*"])
def test_scans_are_found_by_their_key(filled: Ledger, uri: str) -> None:
    """Exact, a folder or a pattern with a fixed beginning."""
    where = filled.read(lambda c: scans_at(c, uri))
    found = indexes_of(filled, select(scan.c.id).where(where))
    # SQLite gives the index of a unique constraint a name of its own.
    assert found in ({"uq_scan_store_id_key_page"}, {"sqlite_autoindex_scan_1"})


def test_discovery_looks_each_key_up_in_a_source_that_statistics_do_not_know(
    ledger: Ledger,
) -> None:
    """They were made before it was listed: the server expects that it has no scans at all."""
    ledger.record_listing(SOURCE, listing(keys(2000)), collection="photographs")
    ledger.write(lambda c: c.execute(text("ANALYZE scan")))
    ledger.record_listing("s3://new", listing(keys(2000)), collection="new")

    def explain(connection: Connection) -> str:
        place = Place(ensure_store(connection, "s3://new"), "new", None)
        prefix = "EXPLAIN " if connection.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN "
        compiled = discovery.comparison(connection, place).compile(
            connection, compile_kwargs={"literal_binds": True}
        )
        rows = connection.execute(text(prefix + str(compiled)), {"listed": "[]"})
        return "\n".join(str(tuple(row)) for row in rows)

    plan = ledger.read(explain)
    assert re.search(r"store_id = .*key = .*page = |store_id=\? AND key=\? AND page=\?", plan)
    assert "Hash" not in plan
    assert "Seq Scan" not in plan
