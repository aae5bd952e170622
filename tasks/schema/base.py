"""What all tables are made with, and which revision of them this code knows."""

from sqlalchemy import Column, ForeignKey, Identity, MetaData

from tasks.schema.types import Id

REVISION = "0100"
"""The Alembic revision that this code works with (a test compares it with the scripts)."""

UNCHECKED = frozenset(
    {
        "fk_scan_store_id",
        "fk_scan_run_id",
        "fk_item_claim_id",
        "fk_attempt_claim_id",
        "fk_attempt_item_id",
        "fk_derivative_store_id",
        "fk_derivative_item_id",
    }
)
"""Foreign keys that SQLite has and PostgreSQL has not: migration 0100 says why."""

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def own_id() -> Column[int]:
    """A table's own key."""
    return Column("id", Id, Identity(), primary_key=True)


def link_to(
    table: str, *, name: str = "", nullable: bool = False, index: bool = False
) -> Column[int]:
    """A column that names a row of another table."""
    return Column(
        name or f"{table}_id", Id, ForeignKey(f"{table}.id"), nullable=nullable, index=index
    )
