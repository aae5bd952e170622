"""A whole morning at the desk, by one person in a real browser, with the bundled network."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from colormodel.checkpoint import DEFAULT_CHECKPOINT
from flows.cli.running import run_here
from tasks.batch.children import PixelPool
from tasks.batch.recipe import recipe_in_service
from tasks.derivatives.gate import MAX_DELTA_L
from tasks.errors import Reason
from tasks.ledger import ItemFilter, ItemStatus, Ledger, orders
from tasks.ledger.opening import open_ledger
from tasks.ledger.orders import OrderKind
from tasks.ledger.people import Role, add_person
from tasks.ledger.references import list_references
from tasks.orders.run import begin_run
from tasks.orders.working import work_here
from tasks.settings import Settings
from tests.browser import Page, find_browser
from tests.corrections import (
    ANSWERED,
    CLICK,
    FREE,
    HINTS,
    distances,
    in_use,
    path_of,
    write_correctable,
)
from tests.desks import LOCAL, PASSWORD, serving
from tests.flows.desk.test_desk_in_a_browser import CURRENT, SHOWN, signed_in, step, wait_for_status
from tests.orders import claim_batch
from tests.outcomes import outcome_for
from tests.ports import free_port
from tests.scanfiles import codes_of, photograph, write_jpeg
from tests.workers import enqueue_missing, settings_in

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(find_browser() is None, reason="needs Chromium: apt-get install chromium"),
]

_WAITING = 52


@pytest.fixture
def night(
    tmp_path: Path, sqlite_url: str, pixels: PixelPool, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """What a night has left: scans to look at, and a collection of which three timed out."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    settings = settings_in(
        tmp_path,
        checkpoint=DEFAULT_CHECKPOINT,
        database_url=sqlite_url,
        web_port=free_port(),
        host="0.0.0.0",  # noqa: S104  people sign in by name
        api_auth=SecretStr(":".join(LOCAL)),
    )
    write_correctable(tmp_path / "archive")
    for number in range(_WAITING - 2):
        codes = codes_of(photograph(48, 64, seed=number))
        write_jpeg(tmp_path / "archive" / f"{number:02d}.jpg", codes)
    run_here(settings, as_json=True, pixels=pixels)
    late = settings.model_copy(update={"sources": (str(tmp_path / "late"),)})
    (tmp_path / "late").mkdir()
    for number in range(3):
        write_jpeg(tmp_path / "late" / f"{number}.jpg", codes_of(photograph(40, 40, seed=number)))
    with begin_run(late, kind="test", name="a late delivery") as run:
        run.discover(late.sources[0])
        enqueue_missing(late, run.ledger)
        recipe_id = run.ledger.ensure_recipe(recipe_in_service(late, run.ledger))
        held = claim_batch(run.ledger, recipe_id, max_attempts=1)
        assert held is not None
        run.ledger.finish(
            held.token,
            [replace(outcome_for(item.id, Reason.TIMEOUT), retry_in_s=0) for item in held.items],
        )
        add_person(run.ledger, "Anna", Role.RUN, password=PASSWORD)
    return settings


def counts(ledger: Ledger, **wanted: object) -> int:
    """How many items there are of those."""
    return len(ledger.list_items(ItemFilter(**wanted), limit=1000))


def test_a_morning(night: Settings, tmp_path: Path) -> None:
    """Fifty pictures by key, two undone; one corrected, taught; a retry; the night in the grid."""
    with (
        open_ledger(night) as ledger,
        serving(night) as served,
        signed_in(tmp_path / "anna", url := served.replace("0.0.0.0", "127.0.0.1"), "Anna") as page,  # noqa: S104
    ):
        _decide_fifty(page, ledger)
        _correct(
            page, ledger, f"{url}/items/{{}}/correct", (tmp_path / "archive" / "deep.tif").as_uri()
        )
        _retry(page, ledger, night, url)
        page.open(f"{url}/archive")
        grid = page.wait_for("late", "archive")
        assert "3 review" in grid
        assert "failed (" not in grid
        published = counts(ledger, statuses=[ItemStatus.PUBLISHED])
        assert grid.count(f"{published} published") == 2  # in all, and of the night


def _decide_fifty(page: Page, ledger: Ledger) -> None:
    page.wait_for(f"{_WAITING} scans wait")
    first = int(page.run(CURRENT))
    seen = [first]
    for number in range(50):
        if number % 10 == 9:
            page.press("r")
            page.wait_until("document.getElementById('why').open")
        seen.append(step(page, "1" if number % 10 == 9 else "a"))
    assert len(set(seen)) == 51
    page.wait_for("2 scans wait")
    for item in (seen[49], seen[48]):
        page.press("u")
        page.wait_until(f"{CURRENT} === {item} && {SHOWN}")
        wait_for_status(ledger, item, "review")
    page.wait_for("4 scans wait")
    assert counts(ledger, statuses=[ItemStatus.PUBLISHED]) == 44
    assert counts(ledger, statuses=[ItemStatus.REJECTED]) == 4
    made = [
        ledger.get_story(row.uri).items[-1].decisions
        for row in ledger.list_items(ItemFilter(ids=seen[:50]), limit=100)
    ]
    assert {one.who for decisions in made for one in decisions} == {"Anna"}


def _correct(page: Page, ledger: Ledger, address: str, uri: str) -> None:
    """Three hints, saved, coloured; what the TIFF holds there; taught."""
    page.open(address.format(ledger.get_story(uri).items[-1].item.id))
    page.wait_until(ANSWERED)
    for hint in HINTS:
        page.run("document.querySelector('[data-likely]').replaceChildren()")
        page.run(f"{CLICK}({list(hint.points[0])})")
        page.wait_until("document.querySelectorAll('.likely').length > 1")
        page.run(f"{FREE}('#{''.join(f'{int(v):02x}' for v in hint.rgb)}')")
    page.wait_until(f"JSON.parse({ANSWERED}).hints.length === 3")
    page.run("document.querySelector('[data-save]').click()")
    page.wait_for("The scan is coloured by what was said, and waits to be looked at", seconds=150)
    made = in_use(ledger.get_story(uri).items[-1])
    places = tuple(replace(hint, points=hint.points[:1]) for hint in HINTS)
    assert max(distances(path_of(made), places)) < 3
    assert made.max_delta_l is not None
    assert made.max_delta_l <= MAX_DELTA_L[16]
    page.run("document.querySelector('[data-teach]').click()")
    page.wait_for("It is reference 1 as it is")
    assert [one.described.kind for one in list_references(ledger)] == ["correction"]


def _retry(page: Page, ledger: Ledger, settings: Settings, url: str) -> None:
    """What failed is seen in the grid, counted, ordered with a reason, and done."""
    page.open(f"{url}/archive")
    page.wait_for("3 failed")
    page.run("document.querySelector('.cell:has(.alarm)').click()")
    page.wait_for("3 failed (timeout 3)", "It took longer than it may")
    page.run("document.querySelector('form[action=\"/orders/forecast\"]').requestSubmit()")
    page.wait_for("Order 3 scans?")  # what failed is what is proposed
    page.run("document.getElementById('why').focus()")
    page.write("a quiet morning")
    page.press("Enter")
    page.wait_for("0 of 3 done")
    row = orders.list_latest(ledger)[0]
    assert (row.kind, row.who, row.why) == (OrderKind.RETRY, "Anna", "a quiet morning")
    assert work_here(settings, ledger, row.id, stop=threading.Event()) == ""
    page.open(f"{url}/orders/{row.id}")
    page.wait_for("completed")
