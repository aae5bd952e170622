"""The four places where SQLite and PostgreSQL need different words for the same thing."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Connection,
    Float,
    Insert,
    Integer,
    String,
    Table,
    Text,
    TextClause,
    Update,
    bindparam,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.selectable import CTE
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

from tasks.schema import Moment

_SQLITE_MOMENT = "%Y-%m-%d %H:%M:%f"


class now(FunctionElement[Any]):  # noqa: N801 - reads as SQL's own
    """The database's clock, with *seconds* added: never the worker's, which may be hours off.

    In PostgreSQL it stands still within a transaction, in SQLite within a statement; the ledger's
    transactions take milliseconds.
    """

    type = Moment()
    inherit_cache = True

    def __init__(self, seconds: float | ColumnElement[Any] | None = None) -> None:
        super().__init__(*(() if seconds is None else (_as_seconds(seconds),)))


def _as_seconds(seconds: float | ColumnElement[Any]) -> ColumnElement[Any]:
    if isinstance(seconds, ColumnElement):
        return seconds
    return bindparam(None, float(seconds), type_=Float, unique=True)


@compiles(now, "postgresql")
def _now_postgresql(element: now, compiler: SQLCompiler, **options: Any) -> str:
    seconds = compiler.process(element.clauses, **options)
    return f"(now() + make_interval(secs => {seconds}))" if seconds else "now()"


@compiles(now, "sqlite")
def _now_sqlite(element: now, compiler: SQLCompiler, **options: Any) -> str:
    seconds = compiler.process(element.clauses, **options)
    if not seconds:
        return f"strftime('{_SQLITE_MOMENT}', 'now')"
    return f"strftime('{_SQLITE_MOMENT}', 'now', printf('%+.3f seconds', {seconds}))"


class as_moment(FunctionElement[Any]):  # noqa: N801 - reads as SQL's own
    """A moment that came as text (`tasks.schema.moment_text`, in UTC), say in a `rows_table`."""

    type = Moment()
    inherit_cache = True


@compiles(as_moment, "postgresql")
def _as_moment_postgresql(element: as_moment, compiler: SQLCompiler, **options: Any) -> str:
    return f"(CAST({compiler.process(element.clauses, **options)} AS timestamp) AT TIME ZONE 'UTC')"


@compiles(as_moment, "sqlite")
def _as_moment_sqlite(element: as_moment, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


class like_glob(FunctionElement[bool]):  # noqa: N801 - reads as SQL's own
    """Whether a column matches a pattern with ``*`` and ``?``, case-sensitively, on either database."""

    type = Boolean()
    inherit_cache = True

    def __init__(self, column: ColumnElement[str], pattern: str) -> None:
        # Both translations travel as parameters; each database takes its own.
        super().__init__(column, _bound(_sql_like(pattern)), _bound(pattern.replace("[", "[[]")))


def _bound(value: str) -> ColumnElement[str]:
    return bindparam(None, value, type_=Text, unique=True)


def _sql_like(pattern: str) -> str:
    escaped = pattern.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")
    return escaped.replace("*", "%").replace("?", "_")


@compiles(like_glob, "postgresql")
def _glob_postgresql(element: like_glob, compiler: SQLCompiler, **options: Any) -> str:
    column, like, _ = element.clauses
    return f"{compiler.process(column, **options)} LIKE {compiler.process(like, **options)}"


@compiles(like_glob, "sqlite")
def _glob_sqlite(element: like_glob, compiler: SQLCompiler, **options: Any) -> str:
    column, _, glob = element.clauses
    return f"{compiler.process(column, **options)} GLOB {compiler.process(glob, **options)}"


_POSTGRESQL_TYPES: dict[type[TypeEngine[Any]], str] = {
    BigInteger: "bigint",
    Integer: "integer",
    Float: "double precision",
    Boolean: "boolean",
    Text: "text",
    String: "text",
}


def rows_table(connection: Connection, name: str, **columns: TypeEngine[Any]) -> CTE:
    """A table that travels into a statement as one JSON parameter, named *name*.

    One parameter for thousands of rows: the statement is compiled and planned once whatever their
    number, and inserting, updating and joining whole sets is the same code on both databases.
    Give the rows as ``{name: as_rows(…)}`` when executing.
    """
    build = _rows_postgresql if connection.dialect.name == "postgresql" else _rows_sqlite
    return build(name, columns).columns(**columns).cte(f"{name}_rows")


def _rows_postgresql(name: str, columns: Mapping[str, TypeEngine[Any]]) -> TextClause:
    typed = ", ".join(f'"{column}" {_POSTGRESQL_TYPES[type(t)]}' for column, t in columns.items())
    return text(f"SELECT * FROM json_to_recordset(CAST(:{name} AS json)) AS given({typed})")  # noqa: S608 - names from code


def _rows_sqlite(name: str, columns: Mapping[str, TypeEngine[Any]]) -> TextClause:
    picked = ", ".join(f"value ->> '{column}' AS \"{column}\"" for column in columns)
    return text(f"SELECT {picked} FROM json_each(:{name})")  # noqa: S608 - names from code


def as_rows(rows: Iterable[Mapping[str, Any]]) -> str:
    """The parameter for `rows_table`."""
    return json.dumps(list(rows), ensure_ascii=False, separators=(",", ":"))


def ids_table(connection: Connection, name: str) -> CTE:
    """A table of one column ``id``; give ``{name: as_ids(…)}`` when executing."""
    return rows_table(connection, name, id=BigInteger())


def as_ids(ids: Iterable[int]) -> str:
    """The parameter for `ids_table`."""
    return as_rows({"id": one} for one in ids)


def affected(
    connection: Connection, statement: Insert | Update, parameters: Mapping[str, Any] | None = None
) -> int:
    """Execute a statement that changes rows, and say how many.

    Python's sqlite3 does not count for statements that begin with WITH; SQLite itself does.
    """
    counted = statement.execution_options(preserve_rowcount=True)
    rowcount = connection.execute(counted, dict(parameters or {})).rowcount
    if rowcount >= 0 or is_postgresql(connection):
        return rowcount
    return int(connection.exec_driver_sql("SELECT changes()").scalar_one())


def insert_or(connection: Connection, table: Table) -> Any:  # noqa: ANN401 - two dialects' classes
    """An INSERT that can say what to do on a conflict, in the dialect's own words."""
    return postgresql.insert(table) if is_postgresql(connection) else sqlite.insert(table)


def is_postgresql(connection: Connection) -> bool:
    """Whether the connection leads to PostgreSQL (else SQLite)."""
    return connection.dialect.name == "postgresql"


def storable(text: str) -> str:
    """Text that both databases take: without NUL and without halves of surrogate pairs."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()
