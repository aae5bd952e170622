"""The web server: figures and the output, for those who may see them, and nothing else."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from flows.serving.web import WebServer
from tasks.errors import UsageError
from tasks.ledger.opening import open_ledger
from tasks.settings import Settings
from tasks.storage import open_store
from tests.ports import free_port
from tests.workshops import MakeSettings


@pytest.fixture
def settings(make_settings: MakeSettings, tmp_path: Path) -> Settings:
    """An output with a report in it, and a file beside it that is nobody's business."""
    settings = make_settings(web_port=free_port())
    page = tmp_path / "page"
    page.write_text("<h1>Night</h1>")
    output = open_store(settings.output, settings=settings, writable=True)
    digest = hashlib.sha256(page.read_bytes()).hexdigest()
    output.put("reports/a night/index.html", page, content_type="text/html", sha256=digest)
    return settings


@pytest.fixture
def web(settings: Settings) -> Iterator[str]:
    """A server without a password, for this machine."""
    with open_ledger(settings) as ledger, WebServer(settings, ledger, files=True) as server:
        yield server.url


def test_figures_are_served(web: str) -> None:
    """With the content type that Prometheus expects."""
    answer = httpx.get(f"{web}/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "autochrome_ledger_up 1.0" in answer.text


def test_a_report_opens_in_a_browser_and_cannot_run_anything(web: str) -> None:
    """As a page, in a sandbox: scans' names and texts are foreign."""
    answer = httpx.get(f"{web}/files/reports/a%20night/index.html")
    assert answer.text == "<h1>Night</h1>"
    assert answer.headers["content-type"] == "text/html"
    assert "sandbox" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/files/",
        "/files/reports",
        "/files/nothing",
        "/files/../ledger.db",
        "/files/%2e%2e/ledger.db",
        "/files/..%2fledger.db",
        "/files//etc/passwd",
        "/files/%00",
        "/files/.autochrome",
    ],
)
def test_nothing_else_is_to_be_had(web: str, path: str) -> None:
    """Whatever the way out of the output is called."""
    host = httpx.URL(web)
    with httpx.Client() as client:
        request = client.build_request("GET", web)
        request.url = host.copy_with(raw_path=path.encode())
        assert client.send(request).status_code == 404


def test_nothing_can_be_changed(web: str) -> None:
    """It reads."""
    for method in ("POST", "PUT", "DELETE"):
        assert httpx.request(method, f"{web}/files/reports/x").status_code == 501


def test_a_password_is_asked_for_where_there_is_one(settings: Settings) -> None:
    """The one of Prefect's API."""
    locked = settings.model_copy(update={"api_auth": SecretStr("me:secret")})
    with open_ledger(locked) as ledger, WebServer(locked, ledger, files=True) as server:
        for path in ("/metrics", "/files/reports/a night/index.html"):
            url = f"{server.url}{path}"
            assert httpx.get(url).status_code == 401
            assert httpx.get(url, auth=("me", "wrong")).status_code == 401
            assert httpx.get(url, auth=("me", "secret")).status_code == 200


def test_a_port_in_use_and_a_missing_password_are_said_in_one_line(settings: Settings) -> None:
    """With the remedy."""
    with open_ledger(settings) as ledger, WebServer(settings, ledger, files=False):
        with pytest.raises(UsageError, match="AUTOCHROME_WEB_PORT"):
            WebServer(settings, ledger, files=False)
        open_to_all = settings.model_copy(update={"host": "0.0.0.0"})  # noqa: S104  refused
        with pytest.raises(UsageError, match="AUTOCHROME_API_AUTH"):
            WebServer(open_to_all, ledger, files=False)
