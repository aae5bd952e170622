"""A desk over a small archive that was coloured, and those who use it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from flows.desk.app import desk_app
from flows.desk.desk import Desk, open_desk
from flows.desk.identity import COOKIE
from flows.web.server import WebServer
from tasks.batch.children import PixelPool
from tasks.ledger import ItemFilter, Ledger
from tasks.ledger.opening import open_ledger
from tasks.ledger.people import Role, add_person, begin_session, find_person
from tasks.settings import Settings
from tests.ports import free_port
from tests.templates import Template
from tests.workers import settings_in

LOCAL = ("me", "secret")
PASSWORD = "correct horse battery"
HTML = {"Accept": "text/html"}


@contextmanager
def serving(settings: Settings, pixels: PixelPool | None = None) -> Iterator[str]:
    """The desk at its port."""
    with (
        open_ledger(settings) as ledger,
        open_desk(settings, ledger, pixels=pixels) as desk,
        WebServer(settings, desk_app(desk)) as server,
    ):
        yield server.url


@dataclass
class House:
    """A desk, and clients of it."""

    desk: Desk
    settings: Settings
    opened: ExitStack
    base: str

    @property
    def ledger(self) -> Ledger:
        """Its ledger."""
        return self.desk.ledger

    def ids(self) -> list[int]:
        """All items, by number."""
        return [row.id for row in self.ledger.list_items(ItemFilter(), limit=100)]

    def client(self, **headers: str) -> TestClient:
        """A browser that nobody is known by."""
        app = desk_app(self.desk)
        client = TestClient(app, base_url=self.base, follow_redirects=False, headers=headers)
        return self.opened.enter_context(client)

    def signed_in(self, name: str, role: Role = Role.DECIDE) -> "Curator":
        """A person's browser, after signing in: passwords take long to check, as they should."""
        add_person(self.ledger, name, role, password=None)
        person = find_person(self.ledger, name)
        assert person is not None
        client = self.client()
        client.cookies.set(self.desk.cookie(COOKIE), begin_session(self.ledger, person, hours=1))
        return Curator(client)


@dataclass
class Curator:
    """Somebody who is signed in."""

    client: TestClient

    @property
    def token(self) -> str:
        """What this browser's forms carry."""
        return str(self.client.get("/api/me").json()["form_token"])

    def post(self, path: str, **json: object) -> httpx.Response:
        """Ask the API to change something."""
        return self.client.post(path, json=json, headers={"X-CSRF-Token": self.token})

    def decide(self, item_id: int, kind: str, why: str = "") -> httpx.Response:
        """Look at an item, and decide."""
        seen = self.client.get(f"/api/items/{item_id}").json()["seen"]
        return self.post(f"/api/items/{item_id}/decision", kind=kind, seen=seen, why=why)


def token_in(page: httpx.Response) -> str:
    """The word of the first form of a page."""
    return page.text.partition('name="csrf" value="')[2].partition('"')[0]


@pytest.fixture
def coloured(coloured_template: Template, quick_checkpoint: Path) -> Settings:
    """Six scans that were coloured, and wait for a curator."""
    return settings_in(
        coloured_template.restore(),
        checkpoint=quick_checkpoint,
        web_port=free_port(),
        api_auth=SecretStr(":".join(LOCAL)),
    )


OpenHouse = Callable[..., House]


@pytest.fixture
def open_house(coloured: Settings, pixels: PixelPool) -> Iterator[OpenHouse]:
    """Opens a desk with these settings, elsewhere than on this machine."""
    with ExitStack() as opened:

        def open_one(**given: object) -> House:
            usual = {"host": "0.0.0.0", "allowed_hosts": ("desk.example.org",)}  # noqa: S104  bound to nothing
            settings = Settings.model_validate(coloured.model_dump() | usual | given)
            ledger = opened.enter_context(open_ledger(settings))
            desk = opened.enter_context(open_desk(settings, ledger, pixels=pixels))
            is_local = settings.host == "127.0.0.1"
            base = "http://127.0.0.1:4201" if is_local else "http://desk.example.org"
            return House(desk, settings, opened, base)

        yield open_one


@pytest.fixture
def house(open_house: OpenHouse) -> House:
    """A desk where people sign in by name."""
    return open_house()
