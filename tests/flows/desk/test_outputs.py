"""Figures and the output at the web port, for those who may see them, and nothing else."""

import base64
import hashlib
import os
import random
import shutil
import ssl
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from flows.desk.figures import metrics_app
from flows.web.addresses import ui_url
from flows.web.server import WebServer
from tasks.batch.children import PixelPool
from tasks.errors import UsageError
from tasks.ledger.opening import open_ledger
from tasks.settings import Settings
from tasks.storage import open_store
from tests.desks import serving
from tests.ports import free_port
from tests.s3server import S3Bucket
from tests.workers import MakeSettings, settings_in

AUTH = ("me", "secret")
PAGE = "reports/a night/index.html"

# Each call would read all certificates of this machine for itself, for HTTP without TLS.
request = partial(httpx.request, verify=ssl.create_default_context())
get = partial(request, "GET")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Settings:
    """An output with a report in it, and a file beside it that is nobody's business."""
    folder = tmp_path_factory.mktemp("outputs")
    shutil.copy(sqlite_template, folder / "ledger.db")
    settings = settings_in(folder, web_port=free_port(), api_auth=SecretStr(":".join(AUTH)))
    page = folder / "page"
    page.write_text("<h1>Night</h1>")
    output = open_store(settings.output, settings=settings, writable=True)
    digest = hashlib.sha256(page.read_bytes()).hexdigest()
    output.put("reports/a night/index.html", page, content_type="text/html", sha256=digest)
    return settings


@pytest.fixture(scope="module")
def web(settings: Settings, pixels: PixelPool) -> Iterator[str]:
    """A server for this machine."""
    with serving(settings, pixels) as url:
        yield url


def test_figures_are_served(web: str) -> None:
    """With the content type that Prometheus expects."""
    answer = get(f"{web}/metrics", auth=AUTH)
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "autochrome_ledger_up 1.0" in answer.text


def test_a_report_opens_in_a_browser_and_cannot_run_anything(web: str) -> None:
    """As a page, in a sandbox: scans' names and texts are foreign."""
    answer = get(f"{web}/files/{PAGE}", auth=AUTH)
    assert answer.text == "<h1>Night</h1>"
    assert answer.headers["content-type"] == "text/html"
    assert "sandbox" in answer.headers["content-security-policy"]


def test_nothing_else_is_to_be_had(web: str) -> None:
    """Whatever the way out of the output is called."""
    host = httpx.URL(web)
    with httpx.Client(auth=AUTH) as client:
        for path in (
            "/nothing",
            "/files/",
            "/files/reports",
            "/files/nothing",
            "/files/../ledger.db",
            "/files/%2e%2e/ledger.db",
            "/files/..%2fledger.db",
            "/files//etc/passwd",
            "/files/%00",
            "/files/.autochrome",
        ):
            request = client.build_request("GET", web)
            request.url = host.copy_with(raw_path=path.encode())
            assert client.send(request).status_code == 404, path


def test_nothing_can_be_changed(web: str) -> None:
    """It reads."""
    for method in ("POST", "PUT", "DELETE"):
        assert request(method, f"{web}/files/reports/x", auth=AUTH).status_code == 405


def test_a_password_is_always_asked_for(web: str) -> None:
    """The one of Prefect's API, on this machine too; the scheme's case is the client's."""
    shown = base64.b64encode(":".join(AUTH).encode()).decode()
    for path in ("/metrics", f"/files/{PAGE}", "/login", "/"):
        url = f"{web}{path}"
        refused = get(url)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Basic ")
        assert get(url, auth=("me", "wrong")).status_code == 401
        for wrong in ("", "Basic", "Basic !", f"Bearer {shown}", f"Basic {shown}x", shown):
            assert get(url, headers={"Authorization": wrong}).status_code == 401, wrong
        assert get(url, auth=AUTH).status_code != 401
    for scheme in ("basic", "BASIC", "Basic"):
        right = {"Authorization": f"{scheme} {shown}"}
        assert get(f"{web}/metrics", headers=right).status_code == 200


def test_foreign_pages_and_names_are_refused(web: str) -> None:
    """Though the browser knows the password."""
    for headers in ({"Host": "evil.example.org"}, {"Origin": "http://evil.example.org"}):
        answer = get(f"{web}/metrics", auth=AUTH, headers=headers)
        assert answer.status_code in {400, 403}
        assert "autochrome_ledger_up" not in answer.text


def test_the_login_leads_on_to_the_ui(web: str, settings: Settings) -> None:
    """With the password where no server is sent it."""
    answer = get(f"{web}/login", auth=AUTH)
    assert answer.status_code == 303
    assert answer.headers["location"] == f"{ui_url(settings)}/autochrome/login#me%3Asecret"


def test_a_port_in_use_and_a_missing_password_are_said_in_one_line(settings: Settings) -> None:
    """With the remedy."""
    with open_ledger(settings) as ledger:
        elsewhere = settings.model_copy(update={"web_port": free_port()})
        app = metrics_app(elsewhere, ledger)
        with WebServer(elsewhere, app), pytest.raises(UsageError, match="AUTOCHROME_WEB_PORT"):
            WebServer(elsewhere, app)
        without = elsewhere.model_copy(update={"api_auth": None})
        with pytest.raises(UsageError, match="AUTOCHROME_API_AUTH"):
            metrics_app(without, ledger)


def test_answers_do_not_wait_for_each_others_packets(web: str) -> None:
    """Head and body go out as two: with Nagle's algorithm the second one waits 40 ms, each time."""
    took = []
    with httpx.Client(base_url=web, auth=AUTH) as client:
        for _ in range(30):
            began = time.perf_counter()
            assert client.get("/api/me").status_code == 200
            took.append(time.perf_counter() - began)
    assert min(took[10:]) < 0.03


def test_figures_can_be_served_alone(settings: Settings) -> None:
    """To Prometheus, with the password; there is nothing else then."""
    elsewhere = settings.model_copy(update={"web_port": free_port()})
    with (
        open_ledger(elsewhere) as ledger,
        WebServer(elsewhere, metrics_app(elsewhere, ledger)) as server,
    ):
        assert get(f"{server.url}/metrics").status_code == 401
        assert "autochrome_ledger_up 1.0" in get(f"{server.url}/metrics", auth=AUTH).text
        assert get(f"{server.url}/review", auth=AUTH).status_code == 404


def test_links_out_of_the_output_lead_nowhere(web: str, settings: Settings, tmp_path: Path) -> None:
    """Neither for reading nor for learning how long it is; links within it are followed."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key.pem").write_text("private")
    output = Path(settings.output)
    (output / "to-file").symlink_to(secret / "key.pem")
    (output / "to-folder").symlink_to(secret)
    (output / "chain").symlink_to("to-file")
    os.mkfifo(output / "pipe")
    for path in ("to-file", "to-folder/key.pem", "chain", "pipe"):
        for method in ("GET", "HEAD"):
            answer = request(method, f"{web}/files/{path}", auth=AUTH)
            assert answer.status_code == 404, path
            assert "private" not in answer.text
    (output / "within").symlink_to(output / "reports")
    assert get(f"{web}/files/within/a night/index.html", auth=AUTH).status_code == 200


@dataclass(frozen=True)
class Large:
    """A server, and an object of some megabytes in its output."""

    url: str
    content: bytes

    def ask(self, asked: str = "", *, method: str = "GET") -> httpx.Response:
        """What is answered to a range."""
        headers = {"Range": asked} if asked else {}
        return request(method, self.url, headers=headers, auth=AUTH)


@pytest.fixture(params=["folder", "s3"])
def large(
    request: pytest.FixtureRequest,
    make_settings: MakeSettings,
    tmp_path: Path,
    pixels: PixelPool,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Large]:
    """In a folder and in a bucket, on a machine without room for a copy."""
    more: dict[str, object] = {"web_port": free_port(), "api_auth": SecretStr(":".join(AUTH))}
    if request.param == "s3":
        bucket: S3Bucket = request.getfixturevalue("s3_bucket")
        more |= bucket.settings.model_dump(exclude_unset=True) | {"output": f"{bucket.url}/colour"}
    settings = make_settings(**more)
    content = random.Random(7).randbytes(5_000_001)  # noqa: S311  any bytes
    path = tmp_path / "large.tif"
    path.write_bytes(content)
    output = open_store(settings.output, settings=settings, writable=True)
    digest = hashlib.sha256(content).hexdigest()
    output.put("master/large.tif", path, content_type="image/tiff", sha256=digest)
    with serving(settings, pixels) as url:
        monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
        yield Large(f"{url}/files/master/large.tif", content)


def test_downloads_come_from_the_store(large: Large) -> None:
    """Whole, without a copy; asked for its headers alone, it says the same."""
    answer = large.ask()
    assert answer.content == large.content
    head = large.ask(method="HEAD")
    assert head.status_code == 200
    assert not head.content
    for name in ("content-length", "content-type", "etag", "accept-ranges"):
        assert head.headers[name] == answer.headers[name]
    assert head.headers["content-type"] == "image/tiff"


def test_a_part_can_be_asked_for(large: Large) -> None:
    """As viewers of large pictures and broken-off downloads do.

    Beyond the end: refused. What is no range, or several: all of it.
    """
    for asked, first, last in (
        ("bytes=0-99", 0, 99),
        ("bytes=1048570-1048590", 1_048_570, 1_048_590),
        ("bytes=5000000-", 5_000_000, 5_000_000),
        ("bytes=-10", 4_999_991, 5_000_000),
        ("bytes=4000000-9999999999", 4_000_000, 5_000_000),
    ):
        answer = large.ask(asked)
        assert answer.status_code == 206
        assert answer.content == large.content[first : last + 1]
        assert answer.headers["content-range"] == f"bytes {first}-{last}/5000001"
    for beyond in ("bytes=5000001-", "bytes=-0"):
        assert large.ask(beyond).status_code == 416, beyond
    for odd in ("bytes=0-1,5-6", "lines=1-2", "bytes=-", "bytes=a-b", f"bytes={'9' * 5000}-"):
        assert large.ask(odd, method="HEAD").headers["content-length"] == "5000001", odd
