"""Counts that triggers keep.

Counting 10 M rows takes seconds, and a status page may ask every few. So triggers keep the
counts, in the transaction that changes the rows: they cannot be wrong, whoever changes a row, by
hand too. One row a count would make every worker wait for every other's commit; so each database
session counts in one of 16 slots, and the sum over the slots is the count.
"""

from sqlalchemy import BigInteger, Boolean, Column, SmallInteger, Table, Text

from tasks.schema.base import metadata
from tasks.schema.types import Id, Word

item_tally = Table(
    "item_tally",
    metadata,
    Column("recipe_id", Id, primary_key=True, autoincrement=False),
    Column("collection", Text, primary_key=True),
    Column("status", Word, primary_key=True),
    Column("reason", Word, primary_key=True),  # "" for none
    Column("slot", SmallInteger, primary_key=True, autoincrement=False),
    Column("n", BigInteger, nullable=False),
    comment="Items by status and reason, kept by triggers on item",
)

order_tally = Table(
    "order_tally",
    metadata,
    Column("order_id", Id, primary_key=True, autoincrement=False),
    Column("collection", Text, primary_key=True),
    Column("status", Word, primary_key=True),
    Column("reason", Word, primary_key=True),  # "" for none
    Column("slot", SmallInteger, primary_key=True, autoincrement=False),
    Column("n", BigInteger, nullable=False),
    comment="An order's items by collection, status and reason, kept by triggers on item",
)

scan_tally = Table(
    "scan_tally",
    metadata,
    Column("collection", Text, primary_key=True),
    Column("vanished", Boolean, primary_key=True),
    Column("slot", SmallInteger, primary_key=True, autoincrement=False),
    Column("n", BigInteger, nullable=False),
    comment="Scans by collection, kept by triggers on scan",
)
