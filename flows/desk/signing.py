"""Signing in by name, and out."""

import secrets
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from flows.desk.identity import (
    COOKIE,
    FORM_COOKIE,
    SIGN_IN,
    AttemptLimit,
    Form,
    OpenDesk,
    cookie_of,
    desk_of,
    form_token,
    is_secure,
)
from flows.desk.pages import render
from tasks.ledger.people import begin_session, check_password, end_session

router = APIRouter(include_in_schema=False)


@router.get(SIGN_IN)
def ask(request: Request) -> Response:
    """The form."""
    return _form(request, next_page(request.query_params.get("next", "")), "")


@router.post(SIGN_IN)
def sign_in(request: Request, desk: OpenDesk, form: Form) -> Response:
    """Begin a session, if name and password fit."""
    name, password = form.get("name", "").strip()[:200], form.get("password", "")[:1000]
    onward = next_page(form.get("next", ""))
    tries: AttemptLimit = request.state.tries
    whose = (f"name {name}", f"from {request.state.identity.caller(request.scope)}")
    if (wait_s := tries.wait_s(*whose)) > 0:
        said = f"Too many tries: wait {max(1, round(wait_s / 60))} min, then try again."
        answer = _form(request, onward, said, name=name, status=429)
        answer.headers["Retry-After"] = str(int(wait_s) + 1)
        return answer
    person = check_password(desk.ledger, name, password)
    if person is None:
        tries.failed(*whose)
        return _form(request, onward, "Name and password do not fit.", name=name, status=403)
    token = begin_session(desk.ledger, person, hours=desk.settings.desk_session_hours)
    answer = RedirectResponse(onward, 303)
    _set(answer, request, COOKIE, token, hours=desk.settings.desk_session_hours)
    return answer


@router.post("/sign-out")
def sign_out(request: Request, desk: OpenDesk) -> Response:
    """End the session of this browser."""
    if token := cookie_of(request.headers, desk.cookie(COOKIE)):
        end_session(desk.ledger, token)
        request.state.identity.forget()
    answer = RedirectResponse(SIGN_IN, 303)
    mine = desk.cookie(COOKIE)
    for name in (mine, f"__Host-{mine}"):
        answer.delete_cookie(name, path="/", secure=is_secure(request), httponly=True)
    return answer


def next_page(text: str) -> str:
    """The page of ours that a URL's `next` names; the first one where it names none."""
    parts = urlsplit(text) if text.startswith("/") and not text.startswith("//") else None
    if parts is None or parts.scheme or parts.netloc or "\\" in text or not text.isprintable():
        return "/"
    return text


def _form(
    request: Request, onward: str, said: str, *, name: str = "", status: int = 200
) -> Response:
    secret = cookie_of(
        request.headers, desk_of(request).cookie(FORM_COOKIE)
    ) or secrets.token_urlsafe(24)
    answer = render(
        request,
        "sign_in.html.j2",
        status=status,
        onward=onward,
        said=said,
        name=name,
        sign_in_token=form_token(secret),
    )
    _set(answer, request, FORM_COOKIE, secret, hours=1)
    return answer


def _set(answer: Response, request: Request, name: str, value: str, *, hours: float) -> None:
    secure, name = is_secure(request), desk_of(request).cookie(name)
    answer.set_cookie(
        f"__Host-{name}" if secure else name,
        value,
        max_age=int(hours * 3600),
        path="/",
        secure=secure,
        httponly=True,
        samesite="strict",
    )
