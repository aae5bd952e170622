"""The few places where SQLite and PostgreSQL need different words for the same thing."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from importlib import import_module
from types import ModuleType, NoneType
from typing import Any, TypeAlias, TypeVar, get_args, get_type_hints

from sqlalchemy import (
    BigInteger,
    Boolean,
    Connection,
    Delete,
    Float,
    Insert,
    Integer,
    Row,
    Select,
    Table,
    Text,
    TextClause,
    Update,
    bindparam,
    cast,
    select,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.selectable import CTE
from sqlalchemy.types import TypeEngine

from tasks.schema import Moment

AnyRow: TypeAlias = Row[Any]

_SQLITE_MOMENT = "%Y-%m-%d %H:%M:%f"


# --- functions -----------------------------------------------------------------------------------


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
def _now_postgresql(element: now, compiler: SQLCompiler, **options: object) -> str:
    seconds = compiler.process(element.clauses, **options)
    return f"(now() + make_interval(secs => {seconds}))" if seconds else "now()"


@compiles(now, "sqlite")
def _now_sqlite(element: now, compiler: SQLCompiler, **options: object) -> str:
    seconds = compiler.process(element.clauses, **options)
    if not seconds:
        return f"strftime('{_SQLITE_MOMENT}', 'now')"
    return f"strftime('{_SQLITE_MOMENT}', 'now', printf('%+.3f seconds', {seconds}))"


class as_moment(FunctionElement[Any]):  # noqa: N801 - reads as SQL's own
    """A moment that came as text (`tasks.schema.moment_text`), say in `Rows`."""

    type = Moment()
    inherit_cache = True


@compiles(as_moment, "postgresql")
def _as_moment_postgresql(element: as_moment, compiler: SQLCompiler, **options: object) -> str:
    moment = compiler.process(element.clauses, **options)
    return f"(CAST({moment} AS timestamp) AT TIME ZONE 'UTC')"


@compiles(as_moment, "sqlite")
def _as_moment_sqlite(element: as_moment, compiler: SQLCompiler, **options: object) -> str:
    return compiler.process(element.clauses, **options)


class like_glob(FunctionElement[bool]):  # noqa: N801 - reads as SQL's own
    """Whether a column matches a pattern; case matters on either database.

    The pattern is given in parts: literal text, a wildcard (``*`` or ``?``), literal text …
    """

    type = Boolean()
    inherit_cache = True

    def __init__(self, column: ColumnElement[str], parts: Sequence[str]) -> None:
        # Both translations travel as parameters; each database takes its own.
        like = _joined(parts, _sql_literal, {"*": "%", "?": "_"})
        glob = _joined(parts, _glob_literal, {"*": "*", "?": "?"})
        super().__init__(column, _bound(like), _bound(glob))


def _bound(value: str) -> ColumnElement[str]:
    return bindparam(None, value, type_=Text, unique=True)


def _joined(
    parts: Sequence[str], literal: Callable[[str], str], wildcards: Mapping[str, str]
) -> str:
    return "".join(wildcards[p] if n % 2 else literal(p) for n, p in enumerate(parts))


def _sql_literal(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")


def _glob_literal(text: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in text)


@compiles(like_glob, "postgresql")
def _glob_postgresql(element: like_glob, compiler: SQLCompiler, **options: object) -> str:
    column, like, _ = element.clauses
    return f"{compiler.process(column, **options)} LIKE {compiler.process(like, **options)}"


@compiles(like_glob, "sqlite")
def _glob_sqlite(element: like_glob, compiler: SQLCompiler, **options: object) -> str:
    column, _, glob = element.clauses
    return f"{compiler.process(column, **options)} GLOB {compiler.process(glob, **options)}"


# --- rows as a parameter -------------------------------------------------------------------------


class Rows:
    """A table that travels into a statement as one JSON parameter.

    One parameter for thousands of rows: the statement is compiled and planned once whatever their
    number, and inserting, updating and joining whole sets is the same code on both databases.
    """

    _POSTGRESQL_TYPES: Mapping[type[TypeEngine[Any]], str] = {
        BigInteger: "bigint",
        Integer: "integer",
        Float: "double precision",
        Boolean: "boolean",
        Text: "text",
    }

    def __init__(self, name: str, **columns: type[TypeEngine[Any]]) -> None:
        self.name = name
        self.columns = columns
        self._tables = {
            dialect: build().columns(**columns).cte(f"{name}_rows")
            for dialect, build in (("postgresql", self._postgresql), ("sqlite", self._sqlite))
        }

    def table(self, connection: Connection) -> CTE:
        """The table, to use in statements that are executed with `given`."""
        return self.table_for(connection.dialect.name)

    def table_for(self, dialect: str) -> CTE:
        """The same, for statements that are built once and kept."""
        return self._tables[dialect]

    def given(self, rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
        """The parameter that fills the table; columns that a row lacks are NULL, others ignored."""
        return {self.name: json.dumps(list(rows), ensure_ascii=False, separators=(",", ":"))}

    def _postgresql(self) -> TextClause:
        types = self._POSTGRESQL_TYPES
        typed = ", ".join(f'"{name}" {types[kind]}' for name, kind in self.columns.items())
        return text(
            f"SELECT * FROM json_to_recordset(CAST(:{self.name} AS json)) AS given({typed})"  # noqa: S608 - names from code
        )

    def _sqlite(self) -> TextClause:
        picked = ", ".join(f"value ->> '{name}' AS \"{name}\"" for name in self.columns)
        return text(f"SELECT {picked} FROM json_each(:{self.name})")  # noqa: S608 - names from code


def rows_of(name: str, kind: type[Any]) -> Rows:
    """A table of records: a column for each field of the dataclass *kind*."""
    types = {int: BigInteger, float: Float, str: Text}
    hints = get_type_hints(kind)
    plain = {  # of a field that may be None, too, the other type
        one: next((part for part in get_args(hints[one]) if part is not NoneType), hints[one])
        for one in _fields(kind)
    }
    return Rows(name, **{one: types[of] for one, of in plain.items()})


class _each_number(FunctionElement[Any]):  # noqa: N801 - reads as SQL's own
    """The numbers of a JSON array, as a table with the column `value`."""

    inherit_cache = True


@compiles(_each_number, "postgresql")
def _each_number_postgresql(element: _each_number, compiler: SQLCompiler, **options: object) -> str:
    return f"json_array_elements_text(CAST({compiler.process(element.clauses, **options)} AS json))"


@compiles(_each_number, "sqlite")
def _each_number_sqlite(element: _each_number, compiler: SQLCompiler, **options: object) -> str:
    return f"json_each({compiler.process(element.clauses, **options)})"


def these(numbers: Iterable[int]) -> Select[Any]:
    """Numbers as a subquery for IN: any number of them, in one parameter that goes along."""
    rows = _each_number(_bound(json.dumps(list(numbers)))).table_valued("value")
    return select(cast(rows.c.value, BigInteger))


# --- statements ----------------------------------------------------------------------------------


def affected(connection: Connection, statement: Insert | Update | Delete) -> int:
    """Execute a statement that changes rows, and say how many.

    Python's sqlite3 does not count for statements that begin with WITH; SQLite itself does.
    """
    counted = statement.execution_options(preserve_rowcount=True)
    rowcount = connection.execute(counted).rowcount
    if rowcount >= 0 or is_postgresql(connection):
        return rowcount
    return int(connection.exec_driver_sql("SELECT changes()").scalar_one())


def insert_or(connection: Connection, table: Table) -> Any:  # noqa: ANN401 - one of two classes
    """An INSERT that can say what to do on a conflict, in the dialect's own words."""
    return insert_for(connection.dialect.name, table)


def insert_for(dialect: str, table: Table) -> Any:  # noqa: ANN401 - one of two classes
    """The same, for statements that are built once and kept."""
    return _module_of(dialect).insert(table)


def written_out(statement: Insert, dialect: str) -> TextClause:
    """The statement as text, compiled once.

    SQLAlchemy keeps no compiled form of one with ON CONFLICT DO UPDATE: it would compile it anew
    each time, which takes longer than to run it.
    """
    kind = _module_of(dialect).dialect
    return text(str(statement.compile(dialect=kind(paramstyle="named"))))


def _module_of(dialect: str) -> ModuleType:
    """SQLAlchemy's module for a dialect; imported above, the other would be loaded for nothing."""
    return import_module(f"sqlalchemy.dialects.{dialect}")


def is_postgresql(connection: Connection) -> bool:
    """Whether the connection leads to PostgreSQL (else SQLite)."""
    return connection.dialect.name == "postgresql"


def storable(words: str) -> str:
    """Text that both databases take: without NUL and without halves of surrogate pairs."""
    return words.replace("\0", "").encode("utf-8", "replace").decode()


# --- rows ----------------------------------------------------------------------------------------


Record = TypeVar("Record")


def record(kind: type[Record], row: Row[Any], /, **others: object) -> Record:
    """A record whose fields are the row's columns of their names, but for *others*, as given.

    Args:
        kind: A dataclass. Each of its fields that is not among the others is a column.
        row: As it was read.
        others: What is stored otherwise than it is told.
    """
    columns = row._mapping
    return kind(**{name: columns[name] for name in _fields(kind) if name not in others}, **others)


def _fields(kind: type[Any]) -> list[str]:
    return [one.name for one in fields(kind)]
