"""Who may use the desk: names, roles, passwords, and sessions of browsers."""

import enum
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from tasks.errors import UsageError
from tasks.ledger import sql
from tasks.ledger.engine import reads, writes
from tasks.schema import desk_session, person

#: scrypt's cost: 16 MiB and some 50 ms for each look at a password.
_N, _R, _P = 1 << 14, 8, 1
_SHORTEST = 10


class Role(enum.StrEnum):
    """What a person may do; each may do what those before it may."""

    LOOK = "look"  #: see pictures and what became of them; nothing that is held
    DECIDE = "decide"  #: approve, reject, hold, correct, teach
    RUN = "run"  #: see and release what is held, retry, backfill, promote

    def includes(self, other: "Role") -> bool:
        """Whether who has this role may do what *other* may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True)
class Person:
    """One who may use the desk."""

    id: int
    name: str
    role: Role
    added_at: datetime
    has_password: bool  #: else only a proxy in front can say that it is this person


@dataclass(frozen=True)
class SignIn:
    """A person who is signed in with one browser."""

    person: Person
    expires_at: datetime


@writes
def add_person(connection: Connection, name: str, role: Role, *, password: str | None) -> None:
    """Let a person in, or give one who is known another role and password.

    Args:
        connection: To the ledger.
        name: As decisions record it.
        role: What the person may do.
        password: None: only a proxy can say that it is this person.

    Raises:
        UsageError: The name is empty or has what is no text, or the password is too short.
    """
    if not name.strip() or name != name.strip() or not name.isprintable() or ":" in name:
        raise UsageError(f"{name!r} is no name: letters, digits, spaces between, no colon")
    if password is not None and len(password) < _SHORTEST:
        raise UsageError(f"the password is too short; {_SHORTEST} characters or more")
    digest = "" if password is None else hash_password(password)
    values = {"role": role, "password": digest}
    known = connection.execute(select(person.c.id).where(person.c.name == name)).scalar()
    if known is None:
        new = insert(person).values(name=name, added_at=sql.now(), **values)
        connection.execute(new)
        return
    connection.execute(update(person).where(person.c.id == known).values(values))
    connection.execute(delete(desk_session).where(desk_session.c.person_id == known))


@writes
def remove_person(connection: Connection, name: str) -> None:
    """Let a person in no more, at once; what he or she decided stays.

    Raises:
        UsageError: There is no such person.
    """
    mine = select(person.c.id).where(person.c.name == name).scalar_subquery()
    connection.execute(delete(desk_session).where(desk_session.c.person_id == mine))
    if not sql.affected(connection, delete(person).where(person.c.name == name)):
        known = ", ".join(one.name for one in list_people(connection)) or "nobody yet"
        raise UsageError(f"there is no {name!r} at the desk; there are: {known}")


@reads
def list_people(connection: Connection) -> list[Person]:
    """All who may use the desk, by name."""
    wanted = select(person).order_by(person.c.name)
    return [_person(row) for row in connection.execute(wanted)]


@reads
def find_person(connection: Connection, name: str) -> Person | None:
    """The person of that name."""
    wanted = select(person).where(person.c.name == name)
    row = connection.execute(wanted).first()
    return None if row is None else _person(row)


@reads
def check_password(connection: Connection, name: str, password: str) -> Person | None:
    """The person, if name and password fit; takes as long where there is no such name."""
    wanted = select(person).where(person.c.name == name)
    row = connection.execute(wanted).first()
    kept = row.password if row is not None and row.password else _NOBODY
    fits = fits_password(password, kept)
    return _person(row) if fits and row is not None and row.password else None


@writes
def begin_session(connection: Connection, who: Person, *, hours: float) -> str:
    """Sign a person in; returns the token that the browser keeps. Ended sessions are forgotten."""
    token = secrets.token_urlsafe(32)
    connection.execute(delete(desk_session).where(desk_session.c.expires_at <= sql.now()))
    connection.execute(
        insert(desk_session).values(
            digest=_digest(token),
            person_id=who.id,
            began_at=sql.now(),
            expires_at=sql.now(hours * 3600),
        )
    )
    return token


@reads
def find_session(connection: Connection, token: str) -> SignIn | None:
    """Who is signed in with that token, with the role that he or she has now."""
    wanted = (
        select(person, desk_session.c.expires_at)
        .join(desk_session, desk_session.c.person_id == person.c.id)
        .where(desk_session.c.digest == _digest(token), desk_session.c.expires_at > sql.now())
    )
    row = connection.execute(wanted).first()
    return None if row is None else SignIn(_person(row), row.expires_at)


@writes
def end_session(connection: Connection, token: str) -> None:
    """Sign out."""
    connection.execute(delete(desk_session).where(desk_session.c.digest == _digest(token)))


def hash_password(password: str) -> str:
    """A password as it is kept: ``scrypt$N$r$p$salt$digest``, in hex (RFC 7914)."""
    salt = secrets.token_bytes(16)
    return f"scrypt${_N}${_R}${_P}${salt.hex()}${_scrypt(password, salt, _N, _R, _P).hex()}"


def fits_password(password: str, kept: str) -> bool:
    """Whether a password is the one that was kept."""
    _, n, r, p, salt, digest = kept.split("$")
    found = _scrypt(password, bytes.fromhex(salt), int(n), int(r), int(p))
    return hmac.compare_digest(found.hex(), digest)


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    text = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(text, salt=salt, n=n, r=r, p=p, dklen=32)


#: Fits no password, and takes as long to find that out.
_NOBODY = f"scrypt${_N}${_R}${_P}${'00' * 16}${'00' * 32}"


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _person(row: sql.AnyRow) -> Person:
    return Person(row.id, row.name, Role(row.role), row.added_at, bool(row.password))
