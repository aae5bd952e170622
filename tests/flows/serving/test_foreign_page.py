"""A page of another server, in a real browser, asks the servers of this machine for all it can.

First against Prefect's server as it starts by itself, where each way in leads in: so the attacks
are real. Then against ours, before and after the browser is logged in by the link.
"""

import hashlib
import http.server
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.serving.environment import server_environment
from flows.serving.password import with_password
from flows.serving.processes import Children
from flows.serving.serve import server_command
from flows.serving.watch import is_healthy
from flows.web.addresses import api_url, login_url, ui_url, web_url
from tasks.ledger import migrate
from tasks.settings import Settings
from tasks.storage import open_store
from tests.browser import Page, browsing, find_browser
from tests.desks import serving as serving_desk
from tests.ports import free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(find_browser() is None, reason="needs Chromium: apt-get install chromium"),
]

#: What the page tries; each way names the variable that it leaves in Prefect's database.
_WAYS = """
(api, web) => {
  const told = window.told = {};
  const note = (name, doing) => { told[name] = "…"; doing().then(
    value => { told[name] = String(value); }, error => { told[name] = "refused"; }); };
  const body = name => JSON.stringify({name, value: "stolen"});
  const post = (name, type, mode) => fetch(`${api}/variables/`,
    {method: "POST", body: body(name), mode, headers: type ? {"Content-Type": type} : {}});
  note("read", () => fetch(`${api}/flow_runs/count`, {method: "POST"}).then(a => a.text()));
  note("json", () => post("by_json", "application/json", "cors").then(a => a.status));
  note("plain", () => post("by_plain", "text/plain", "no-cors").then(() => "sent"));
  note("blob", () => fetch(`${api}/variables/`, {method: "POST", mode: "no-cors",
    body: new Blob([body("by_blob")])}).then(() => "sent"));
  note("events", () => new Promise((gone, refused) => {
    const socket = new WebSocket(api.replace("http", "ws") + "/events/in");
    socket.onerror = refused;
    socket.onopen = () => { socket.send(JSON.stringify({event: "stolen", occurred: new Date(),
      resource: {"prefect.resource.id": "stolen"}, id: crypto.randomUUID()})); gone("open"); };
  }));
  note("logs", () => new Promise((gone, refused) => {
    const socket = new WebSocket(api.replace("http", "ws") + "/logs/out", "prefect");
    socket.onerror = refused; socket.onopen = () => gone("open");
  }));
  const page = credentials => fetch(`${web}/metrics`, {credentials}).then(a => a.text());
  note("metrics", () => page("omit"));
  note("metrics_as_me", () => page("include"));
  note("picture", () => new Promise((gone, refused) => {
    const image = new Image(); image.onload = () => gone(image.width); image.onerror = refused;
    image.src = `${web}/files/pixel.png`;
  }));
  const form = document.createElement("form");
  Object.assign(form, {method: "POST", action: `${api}/variables/`, enctype: "text/plain",
    target: "frame"});
  const field = document.createElement("input");
  field.name = '{"name": "by_form", "value": "'; field.value = '"}';
  const frame = document.createElement("iframe"); frame.name = "frame";
  form.append(field); document.body.append(frame, form); form.submit();
}
"""
_PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154"
    "789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
)


@dataclass(frozen=True)
class Served:
    """What runs on this machine, and a page of somebody else's."""

    settings: Settings
    auth: tuple[str, str] | None
    foreign: str  #: the page, "http://127.0.0.1:port/"

    def attack(self, page: Page, *, host: str = "127.0.0.1") -> dict[str, str]:
        """Try every way from the page that is open; what the page was told."""
        api = api_url(self.settings).replace("127.0.0.1", host)
        web = web_url(self.settings).replace("127.0.0.1", host)
        page.run(f"({_WAYS})({json.dumps(api)}, {json.dumps(web)})")
        end = time.monotonic() + 60
        while "…" in (told := json.loads(page.run("JSON.stringify(window.told)"))).values():
            assert time.monotonic() < end, told
            time.sleep(0.2)
        time.sleep(2)  # the form's answer is seen by nobody
        return dict(told)

    def stolen(self) -> set[str]:
        """The variables that are there, asked for as one who may."""
        url = f"{api_url(self.settings)}/variables/filter"
        found: list[dict[str, Any]] = httpx.post(url, json={}, auth=self.auth, timeout=60).json()
        return {one["name"] for one in found}


class _Foreign(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>Free wallpapers</title><body>Wallpapers")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base's name
        pass


@contextmanager
def foreign_server() -> Iterator[str]:
    """Somebody else's web server."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Foreign) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def prefect(settings: Settings, command: list[str], environment: dict[str, str]) -> Iterator[None]:
    """Prefect's server."""
    children = Children(settings.home)
    server = children.start("server", command, environment)
    try:
        end = time.monotonic() + 400
        while not is_healthy(settings):
            assert server.is_alive, children.last_words("server")
            assert time.monotonic() < end
            time.sleep(0.5)
        yield
    finally:
        children.end_all(hurry=True)


def test_an_unguarded_server_is_open_to_every_page(tmp_path: Path) -> None:
    """Without this, nothing below would be proved."""
    settings = Settings(home=tmp_path, port=free_port(), web_port=free_port())
    environment = os.environ | {
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(settings.port)]
    with (
        prefect(settings, command, environment),
        foreign_server() as address,
        browsing(tmp_path) as page,
    ):
        served = Served(settings, None, address)
        page.open(f"http://{address}/")
        page.wait_for("Wallpapers")
        told = served.attack(page)
        assert told["read"] == "0"
        assert told["json"] == "201"
        assert told["events"] == told["logs"] == "open"
        assert {"by_json", "by_blob"} <= served.stolen()
        page.open(f"http://rebound.localhost:{settings.port}/api/health")
        page.wait_for("true")
        assert served.attack(page, host="rebound.localhost")["json"] == "409", "it is there already"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Both servers as `serve` starts them, with the password that it makes."""
    folder = tmp_path_factory.mktemp("served")
    settings = with_password(
        Settings.model_validate(
            {
                "home": folder / "home",
                "port": free_port(),
                "web_port": free_port(),
                "database_url": f"sqlite:///{folder / 'ledger.db'}",
                "output": str(folder / "colour"),
            }
        )
    )
    migrate.upgrade(settings.database_url.get_secret_value())
    pixel = folder / "pixel.png"
    pixel.write_bytes(_PIXEL)
    output = open_store(settings.output, settings=settings, writable=True)
    digest = hashlib.sha256(_PIXEL).hexdigest()
    output.put("pixel.png", pixel, content_type="image/png", sha256=digest)
    assert settings.api_auth is not None
    name, _, password = settings.api_auth.get_secret_value().partition(":")
    with (
        prefect(settings, [*server_command(settings)], server_environment(settings)),
        serving_desk(settings),
        foreign_server() as address,
    ):
        yield Served(settings, (name, password), address)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """One browser for all: first it knows no password, then it does."""
    with browsing(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


def check_attacks_fail(served: Served, page: Page) -> None:
    """From another server of this machine, from another machine's name, and by rebinding one."""
    port = served.foreign.rpartition(":")[2]
    for foreign in (served.foreign, f"evil.localhost:{port}"):
        page.open(f"http://{foreign}/")
        page.wait_for("Wallpapers")
        told = served.attack(page)
        sent = {told.pop(name) for name in ("plain", "blob")}
        assert set(told.values()) == {"refused"}, told
        assert sent <= {"sent", "refused"}  # what became of it, the page is not told
    page.open(f"http://rebound.localhost:{served.settings.port}/")
    page.wait_for("not known under that name")
    told = served.attack(page, host="rebound.localhost")
    assert told["json"] == "400"
    assert "not known under that name" in told["read"]
    assert told["events"] == told["logs"] == told["picture"] == "refused"
    assert served.stolen() == set()


def test_a_foreign_page_can_do_nothing(served: Served, page: Page) -> None:
    """Nothing is read, nothing is changed, no websocket opens."""
    check_attacks_fail(served, page)


def test_without_the_password_our_own_name_does_not_help(served: Served) -> None:
    """Others on this machine may ask as they like."""
    api = api_url(served.settings)
    asked = httpx.post(f"{api}/variables/", json={"name": "by_neighbour", "value": "x"})
    assert asked.status_code == 401
    assert httpx.get(f"{web_url(served.settings)}/metrics").status_code == 401
    assert "access-control-allow-origin" not in asked.headers
    assert served.stolen() == set()


def test_the_link_logs_the_browser_in(served: Served, page: Page) -> None:
    """To metrics and files, and to the UI, where nobody is asked for anything any more."""
    page.open(login_url(served.settings))
    page.wait_for("Dashboard", "Deployments", "Run a task or flow to get started")
    assert page.run("location.href").startswith(ui_url(served.settings))
    assert "#" not in page.run("location.href")
    page.open(f"{web_url(served.settings)}/metrics")
    page.wait_for("autochrome_ledger_up 1.0")


def test_a_foreign_page_can_do_nothing_with_a_browser_that_is_logged_in(
    served: Served, page: Page
) -> None:
    """What the browser knows, it does not lend."""
    check_attacks_fail(served, page)
    page.open(f"{web_url(served.settings)}/metrics")
    page.wait_for("autochrome_ledger_up 1.0")  # it was logged in all the while
