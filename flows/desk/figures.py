"""The ledger's figures alone, without the desk: `autochrome metrics`."""

import hmac

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from flows.desk.identity import ASKING, basic_credentials
from flows.web.addresses import allowed_names
from flows.web.guard import Guard
from tasks.errors import UsageError
from tasks.ledger import Ledger
from tasks.report.metrics import exposition
from tasks.settings import Settings


def metrics_app(settings: Settings, ledger: Ledger) -> ASGIApp:
    """`/metrics` alone, for whoever has the password.

    Raises:
        UsageError: There is no password.
    """
    if settings.api_auth is None:
        raise UsageError("a password is missing: set AUTOCHROME_API_AUTH to name:password")
    auth = settings.api_auth.get_secret_value().encode()

    def metrics(request: Request) -> Response:
        shown = basic_credentials(request.headers)
        if shown is None or not hmac.compare_digest(shown, auth):
            return Response(status_code=401, headers=ASKING)
        return Response(exposition(ledger), media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[Route("/metrics", metrics)],
        middleware=[Middleware(Guard, host=settings.host, names=allowed_names(settings))],
    )
