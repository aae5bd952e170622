"""The ledger's column types."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Integer, String, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

_MOMENT_LENGTH = len("2026-01-01 00:00:00.000")


class Moment(TypeDecorator[datetime]):
    """An aware datetime in UTC. In SQLite it is text to the millisecond: sorts as time does."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """PostgreSQL has a type for it; in SQLite text reads and compares best."""
        wanted: TypeEngine[Any] = (
            self.impl_instance if _is_postgresql(dialect) else String(_MOMENT_LENGTH)
        )
        return dialect.type_descriptor(wanted)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | str | None:
        """Refuse naive datetimes: they would be read in whatever zone the session has."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        return value.astimezone(UTC) if _is_postgresql(dialect) else moment_text(value)

    def process_result_value(
        self, value: datetime | str | None, dialect: Dialect
    ) -> datetime | None:
        """Give UTC, whatever the session's zone."""
        del dialect  # the value says it
        if value is None:
            return None
        if isinstance(value, datetime):
            return value.astimezone(UTC)
        return datetime.fromisoformat(value).replace(tzinfo=UTC)


class Json(TypeDecorator[Any]):
    """JSON; in PostgreSQL the kind that is stored parsed.

    A variant would name PostgreSQL's type here and load its dialect, also where none is used: a
    tenth of the time in which `autochrome status` answers.
    """

    impl = JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """JSONB where there is one."""
        if not _is_postgresql(dialect):
            return dialect.type_descriptor(self.impl_instance)
        from sqlalchemy.dialects.postgresql import JSONB  # noqa: PLC0415  see above

        return dialect.type_descriptor(JSONB())


def moment_text(moment: datetime) -> str:
    """A moment as SQLite keeps it."""
    return moment.astimezone(UTC).isoformat(" ", "milliseconds")[:_MOMENT_LENGTH]


def _is_postgresql(dialect: Dialect) -> bool:
    return dialect.name == "postgresql"


Id = BigInteger().with_variant(Integer(), "sqlite")  # SQLite counts up only an INTEGER PRIMARY KEY
# S3 sorts keys by their UTF-8 bytes, and so does this collation; the database's own is slower.
Key = Text().with_variant(Text(collation="C"), "postgresql")
Word = String(32)  # a status, reason or kind; plain text, so that a person can read and filter it
Sha256 = String(64)
