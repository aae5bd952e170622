"""Who asks: a person by name, by a proxy's word, or whoever knows this machine's password.

The checks that a page needs are dependencies here: `Looking`, `Deciding`, `Running` give the person
or refuse, and `check_form` refuses whatever changes something without this browser's own word.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from time import monotonic
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, HTTPException, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from flows.desk.desk import Desk
from flows.desk.memory import Memory
from flows.desk.multipart import Part, read_parts
from flows.web.guard import LOOPBACK
from tasks.errors import DatabaseUnavailable
from tasks.ledger.people import Person, Role, check_password, find_person, find_session

COOKIE = "autochrome-desk"
SIGN_IN = "/sign-in"
#: Of somebody who is not signed in yet: it signs the form by which he or she does.
FORM_COOKIE = "autochrome-form"
FORM_FIELD = "csrf"
FORM_HEADER = "x-csrf-token"
#: What a program or browser is told that shows no password.
ASKING = {"WWW-Authenticate": 'Basic realm="Autochrome", charset="UTF-8"'}
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_REMEMBER_S = 5.0
_MOST_REMEMBERED = 1000
URLENCODED = "application/x-www-form-urlencoded"
MOST_FORM_BYTES = 64 * 1024
_MOST_FIELDS = 200


@dataclass(frozen=True)
class Visitor:
    """Who asks, and how that is known.

    Attributes:
        name: As decisions record it.
        role: What the person may do.
        secret: What this browser alone knows: forms are signed with it.
        way: "name", "proxy" or "password" (this machine's).
    """

    name: str
    role: Role
    secret: str = field(repr=False)
    way: str

    @property
    def form_token(self) -> str:
        """What each form carries, so that no other page can send one in this person's name."""
        return form_token(self.secret)

    def may(self, role: Role) -> bool:
        """Whether the person may do what that role may."""
        return self.role.includes(role)


def form_token(secret: str) -> str:
    """The word of a browser for its forms."""
    return hmac.new(secret.encode(), b"form", hashlib.sha256).hexdigest()


class NotSignedIn(Exception):
    """Nobody is known to ask."""


class AttemptLimit:
    """Bounds how often somebody may be wrong: so many times in so many minutes."""

    def __init__(self, *, most: int = 10, within_s: float = 300.0) -> None:
        self._most = most
        self._within_s = within_s
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, list[float]] = OrderedDict()

    def wait_s(self, *whose: str) -> float:
        """How long these have to wait before they may try again; 0: not at all."""
        now = monotonic()
        with self._lock:
            waits = [0.0]
            for one in whose:
                recent = [at for at in self._failures.get(one, ()) if now - at < self._within_s]
                if len(recent) >= self._most:
                    waits.append(recent[-self._most] + self._within_s - now)
            return max(waits)

    def failed(self, *whose: str) -> None:
        """Count a failure."""
        now = monotonic()
        with self._lock:
            for one in whose:
                recent = [at for at in self._failures.pop(one, []) if now - at < self._within_s]
                self._failures[one] = [*recent, now][-self._most :]
            while len(self._failures) > _MOST_REMEMBERED:
                self._failures.popitem(last=False)


class Identity:
    """Finds out who asks, and leaves it in the request's state."""

    def __init__(self, app: ASGIApp, *, desk: Desk) -> None:
        self._app = app
        self._desk = desk
        settings = desk.settings
        self._is_local = settings.host in LOOPBACK
        self._auth = settings.api_auth.get_secret_value().encode() if settings.api_auth else b""
        self._header = settings.desk_proxy_header.lower()
        self._proxies = frozenset(settings.desk_proxies)
        self._secret = secrets.token_hex(16)
        self._memory = Memory(_REMEMBER_S, most=_MOST_REMEMBERED)
        self._tries = AttemptLimit()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer somebody it knows, or knows not."""
        if scope["type"] == "http":
            state = scope.setdefault("state", {})
            state["desk"] = self._desk
            state["identity"] = self
            state["is_local"] = self._is_local
            state["tries"] = self._tries
            state["visitor"] = await run_in_threadpool(self._find, scope)
        await self._app(scope, receive, send)

    def forget(self) -> None:
        """Somebody signed in or out."""
        self._memory.forget()

    def knows(self, scope: Scope) -> bool:
        """Whether whoever asked so is known still; a database that is away makes nobody unknown."""
        try:
            return self._find(scope) is not None
        except DatabaseUnavailable:
            return True

    def caller(self, scope: Scope) -> str:
        """The address whose tries are counted: of a proxy that is believed, of whom it asks for."""
        peer = str((scope.get("client") or ("",))[0])
        said = Headers(scope=scope).get("x-forwarded-for", "").rpartition(",")[2].strip()
        return said[:64] if said and peer in self._proxies else peer

    def knows_password(self, shown: bytes) -> bool:
        """Whether it is this machine's name:password."""
        return bool(self._auth) and hmac.compare_digest(shown, self._auth)

    def _find(self, scope: Scope) -> Visitor | None:
        headers = Headers(scope=scope)
        if self._header and (named := headers.get(self._header)):
            return self._by_proxy(scope, named, len(headers.getlist(self._header)))
        if token := cookie_of(headers, self._desk.cookie(COOKIE)):
            found = self._memory.get(token, lambda: find_session(self._desk.ledger, token))
            if found is not None:
                return _visitor(found.person, token, "name")
        return self._by_password(scope, headers)

    def _by_proxy(self, scope: Scope, named: str, number: int) -> Visitor | None:
        peer = (scope.get("client") or ("",))[0]
        if peer not in self._proxies or number != 1:
            return None
        ledger = self._desk.ledger
        person = self._memory.get(f"proxy {named}", lambda: find_person(ledger, named))
        if person is None:
            return None
        return _visitor(person, f"{self._secret} {named}", "proxy")

    def _by_password(self, scope: Scope, headers: Headers) -> Visitor | None:
        """By HTTP Basic: programs and, on this machine, browsers."""
        shown = basic_credentials(headers)
        if shown is None:
            return None
        if self.knows_password(shown):
            # Elsewhere people have names; this password is for programs, and Prefect's UI.
            name = self._desk.local_name
            return Visitor(name, Role.RUN, f"{self._secret} password", "password")
        name, _, password = shown.decode("utf-8", "replace").partition(":")
        caller = self.caller(scope)
        person = self._memory.get(
            f"basic {hashlib.sha256(shown).hexdigest()}",
            lambda: self._check(name, password, caller),
        )
        return None if person is None else _visitor(person, f"{self._secret} {name}", "name")

    def _check(self, name: str, password: str, caller: str) -> Person | None:
        whose = (f"name {name}", f"from {caller}")
        if self._tries.wait_s(*whose) > 0:
            return None
        person = check_password(self._desk.ledger, name, password)
        if person is None:
            self._tries.failed(*whose)
        return person


def _visitor(person: Person, secret: str, way: str) -> Visitor:
    return Visitor(person.name, person.role, secret, way)


def basic_credentials(headers: Headers) -> bytes | None:
    """The name:password that HTTP Basic shows; None where it shows none."""
    scheme, _, shown = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(shown.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None


def cookie_of(headers: Headers, name: str) -> str:
    """The value of a cookie, by the name that it has under TLS, too; empty: there is none."""
    try:
        jar = SimpleCookie("; ".join(headers.getlist("cookie"))[:8192])
    except CookieError:
        return ""
    for key in (f"__Host-{name}", name):
        if key in jar:
            return jar[key].value
    return ""


def form_kind(headers: Headers) -> str:
    """The media type of a body, without its parameters; empty: it states none."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


# --- dependencies --------------------------------------------------------------------------------


def desk_of(request: Request) -> Desk:
    """The desk that a request is for."""
    desk: Desk = request.state.desk
    return desk


def visitor_of(request: Request) -> Visitor | None:
    """Who asks, if that is known."""
    visitor: Visitor | None = request.state.visitor
    return visitor


def _needing(role: Role) -> Callable[[Request], Visitor]:
    def needed(request: Request) -> Visitor:
        visitor = visitor_of(request)
        if visitor is None or (visitor.way == "password" and not request.state.is_local):
            raise NotSignedIn
        if not visitor.may(role):
            raise HTTPException(
                403, f"this needs the role {role}, and {visitor.name} has {visitor.role}"
            )
        return visitor

    return needed


def _program(request: Request) -> Visitor:
    visitor = visitor_of(request)
    if visitor is None or not visitor.may(Role.RUN):
        raise HTTPException(401, headers=ASKING)
    return visitor


async def read_files(request: Request) -> list[Part]:
    """The fields and files of a form with files; read once, however often it is asked for.

    Raises:
        NotSignedIn: By nobody that is known; nothing is read of it.
        HTTPException: By somebody who may not hand anything in; nothing is read of it.
        UsageError: It cannot be read.
    """
    _needing(Role.DECIDE)(request)
    if not hasattr(request.state, "parts"):
        content_type, body = request.headers.get("content-type", ""), await request.body()
        request.state.parts = await run_in_threadpool(read_parts, content_type, body)
    parts: list[Part] = request.state.parts
    return parts


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form, the last of each name.

    Raises:
        NotSignedIn: It has files, and is by nobody that is known.
        HTTPException: It is no form, too large, or has files of somebody who may not hand them in.
    """
    kind = form_kind(request.headers)
    if kind == "multipart/form-data":
        return {
            one.name: one.content.decode("utf-8", "replace")
            for one in await read_files(request)
            if not one.filename
        }
    if kind != URLENCODED:
        return {}
    body = await request.body()
    if len(body) > MOST_FORM_BYTES:
        raise HTTPException(413, "the form is too large")
    try:
        fields = parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, max_num_fields=_MOST_FIELDS
        )
    except ValueError:
        raise HTTPException(400, "the form cannot be read") from None
    return dict(fields)


async def check_form(request: Request) -> None:
    """Refuse to change anything without the word that only this browser's own pages carry.

    Raises:
        HTTPException: It is missing, or another's.
    """
    if request.method in _SAFE:
        return
    visitor = visitor_of(request)
    secret = visitor.secret if visitor else ""
    if not visitor and request.url.path == SIGN_IN:
        secret = cookie_of(request.headers, desk_of(request).cookie(FORM_COOKIE))
    if not secret:
        raise NotSignedIn
    expected = form_token(secret)
    shown = request.headers.get(FORM_HEADER) or (await read_form(request)).get(FORM_FIELD, "")
    if not shown or not hmac.compare_digest(shown.encode(), expected.encode()):
        raise HTTPException(
            403, "the page is too old, or another's: load it again, and repeat what you did"
        )


def is_secure(request: Request) -> bool:
    """Whether the browser speaks TLS, to us or to a proxy."""
    said = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip()
    return "https" in {request.url.scheme, said}


OpenDesk = Annotated[Desk, Depends(desk_of)]
Form = Annotated[dict[str, str], Depends(read_form)]
Looking = Annotated[Visitor, Depends(_needing(Role.LOOK))]
Deciding = Annotated[Visitor, Depends(_needing(Role.DECIDE))]
#: Whoever has this machine's password, or the role *run*: Prometheus, scripts, whoever runs it.
Program = Annotated[Visitor, Depends(_program)]
Running = Annotated[Visitor, Depends(_needing(Role.RUN))]
