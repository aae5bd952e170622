"""A curator's morning in a real browser: sign in, step, decide by key, undo; and two at once."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tasks.ledger import ItemFilter, Ledger
from tasks.ledger.opening import open_ledger
from tasks.ledger.people import Role, add_person
from tasks.settings import Settings
from tests.browser import Page, browsing, find_browser
from tests.corrections import ANSWERED, CLICK, FREE
from tests.desks import PASSWORD, serving

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(find_browser() is None, reason="needs Chromium: apt-get install chromium"),
]

CURRENT = "Number(document.querySelector('[data-pane]')?.dataset.item || 0)"
SHOWN = (
    "document.querySelector('.viewer.live')?.getAttribute('aria-busy') === 'false' && "
    "!document.querySelector('.viewer').dataset.fault"
)

_PAGES = (
    "/items/1",
    "/items/1/correct",
    "/search?q=*",
    "/pace",
    "/wall",
    "/archive",
    "/archive/cell?order=1",
    "/orders",
    "/orders/1",
    "/models",
    "/references",
)


@pytest.fixture
def elsewhere(coloured: Settings) -> Settings:
    """Settings of a desk where people sign in by name; two may."""
    settings = coloured.model_copy(update={"host": "0.0.0.0"})  # noqa: S104
    with open_ledger(settings) as ledger:
        for name in ("Anna", "Ben"):
            add_person(ledger, name, Role.DECIDE, password=PASSWORD)
    return settings


@contextmanager
def signed_in(folder: Path, url: str, name: str) -> Iterator[Page]:
    """A person's browser, at the queue."""
    folder.mkdir()
    with browsing(folder) as page:
        page.open(f"{url}/review?order=oldest")
        sign_in(page, name)
        yield page


def sign_in(page: Page, name: str) -> None:
    """Fill in the form that asks who one is, and go on to the queue."""
    page.wait_for("Sign in")
    for field, text in (("name", name), ("password", PASSWORD)):
        page.run(f"document.getElementById('{field}').focus()")
        page.write(text)
    page.press("Enter")
    page.wait_until(SHOWN)


def status_of(ledger: Ledger, item: int) -> str:
    """Where an item stands."""
    return ledger.list_items(ItemFilter(ids=[item]), limit=1)[0].status


def wait_for_status(ledger: Ledger, item: int, status: str) -> None:
    """Wait until the ledger says so."""
    end = time.monotonic() + 20
    while status_of(ledger, item) != status and time.monotonic() < end:
        time.sleep(0.05)
    assert status_of(ledger, item) == status


def step(page: Page, key: str) -> int:
    """Press a key and wait for another item; its number."""
    before = page.run(CURRENT)
    page.press(key)
    page.wait_until(f"{CURRENT} !== {before} && {SHOWN}", seconds=20)
    return int(page.run(CURRENT))


def test_a_morning_by_key(elsewhere: Settings, tmp_path: Path) -> None:
    """Stepping decides nothing; each decision is in the ledger; undo shows the item again."""
    with (
        open_ledger(elsewhere) as ledger,
        serving(elsewhere) as url,
        signed_in(tmp_path / "anna", url.replace("0.0.0.0", "127.0.0.1"), "Anna") as page,  # noqa: S104
    ):
        first = int(page.run(CURRENT))
        second = step(page, "j")
        assert step(page, "k") == first
        assert status_of(ledger, first) == "review"
        assert step(page, "a") == second
        wait_for_status(ledger, first, "published")
        page.wait_for("5 scans wait")
        page.press("u")
        page.wait_until(f"{CURRENT} === {first}")
        wait_for_status(ledger, first, "review")
        page.wait_for("6 scans wait")
        page.press("r")
        page.wait_until("document.getElementById('why').open")
        page.press("2")
        wait_for_status(ledger, first, "rejected")
        page.wait_until(f"{CURRENT} === {second} && {SHOWN}")
        page.press("h")
        page.wait_until("document.getElementById('why').open")
        page.press("Enter")
        wait_for_status(ledger, second, "held")
        # Zoomed to single pixels and back, shown in every way: the picture is drawn.
        for key in ("z", "z", "s", "s", "s", "s", "+", "-", "?"):
            page.press(key)
        page.wait_until("document.getElementById('help').open")
        page.press("Escape")
        for _ in range(4):
            page.press("a")
            time.sleep(0.3)
        page.wait_for("Nothing of what you chose waits", seconds=20)
        story = ledger.get_story(ledger.list_items(ItemFilter(ids=[first]), limit=1)[0].uri)
        made = story.items[0].decisions
        assert [one.kind for one in made] == ["approve", "undo", "reject"]
        assert {one.who for one in made} == {"Anna"}
        assert made[-1].why == "colour where there should be none"
        statuses = [row.status for row in ledger.list_items(ItemFilter(), limit=10)]
        assert sorted(statuses) == ["held", *["published"] * 4, "rejected"]


def test_keys_faster_than_pictures(elsewhere: Settings, tmp_path: Path) -> None:
    """Each key is one step from where the last has led: nothing is skipped, or decided twice."""
    burst = (
        "'{}'.split('').forEach((key) => "
        "document.dispatchEvent(new KeyboardEvent('keydown', {{ key }})))"
    )
    queued = (
        "void fetch('/api/queue?order=oldest').then((answer) => answer.json())"
        ".then((told) => { window.queued = told.items; })"
    )
    with (
        open_ledger(elsewhere) as ledger,
        serving(elsewhere) as url,
        signed_in(tmp_path / "anna", url.replace("0.0.0.0", "127.0.0.1"), "Anna") as page,  # noqa: S104
    ):
        page.run(queued)
        queue = [one["id"] for one in page.wait_until("window.queued")]
        for keys, at in (("jjjj", 4), ("kkk", 1), ("jjkjj", 4), ("kkkk", 0)):
            page.run(burst.format(keys))
            page.wait_until(f"{CURRENT} === {queue[at]} && {SHOWN}")
            time.sleep(0.5)
            assert page.run(CURRENT) == queue[at]
        page.run(burst.format("aaa"))
        page.wait_until(f"{CURRENT} === {queue[1]} && {SHOWN}")
        assert step(page, "a") == queue[2]
        wait_for_status(ledger, queue[1], "published")
        assert [status_of(ledger, item) for item in queue] == ["published"] * 2 + ["review"] * 4


def test_two_at_once(elsewhere: Settings, tmp_path: Path) -> None:
    """What one decides leaves the other's queue; at the same item the second one is told."""
    with ExitStack() as opened:
        ledger = opened.enter_context(open_ledger(elsewhere))
        url = opened.enter_context(serving(elsewhere)).replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        anna, ben = (
            opened.enter_context(signed_in(tmp_path / name, url, name)) for name in ("Anna", "Ben")
        )
        item = int(anna.run(CURRENT))
        assert int(ben.run(CURRENT)) == item
        second = step(anna, "a")
        wait_for_status(ledger, item, "published")
        ben.wait_for("Anna has decided about this one")
        assert "published" in ben.run("document.querySelector('.stand').textContent")
        ben.press("a")
        ben.wait_for("approve does not apply")
        anna.press("u")
        ben.wait_for("Anna has taken that back: it waits again", "6 scans wait")
        ben.wait_until("document.querySelector('[data-pane] .approve:not(:disabled)')")
        anna.wait_until(f"{CURRENT} === {item} && {SHOWN}")
        assert step(anna, "a") == second
        wait_for_status(ledger, item, "published")
        ben.wait_until("document.querySelector('[data-pane]').classList.contains('decided')")
        assert step(ben, "j") == second
        ben.press("e")
        ben.wait_until(f"location.pathname === '/items/{second}/correct'")
        link = "document.querySelector('[data-back]')?.href"
        back = ben.wait_until(f"{link}.includes('order=oldest') && {link}")
        assert f"item={second}" in back  # the queue that one came from
        ben.open(back)
        ben.wait_until(f"{CURRENT} === {second} && {SHOWN}")
        third = step(anna, "a")
        ben.wait_until("document.querySelector('[data-pane]').classList.contains('decided')")
        assert step(ben, "j") == third
        assert status_of(ledger, third) == "review"


def test_a_session_ends_while_somebody_corrects(elsewhere: Settings, tmp_path: Path) -> None:
    """What was said stays on the page, and is saved once the same person has signed in again."""
    said = "document.querySelectorAll('.said-list li').length"
    save = "document.querySelector('[data-save]').click()"
    with (
        open_ledger(elsewhere) as ledger,
        serving(elsewhere) as served,
        signed_in(tmp_path / "anna", url := served.replace("0.0.0.0", "127.0.0.1"), "Anna") as page,  # noqa: S104
        page.another_tab() as other,
    ):
        one = next(row for row in ledger.list_items(ItemFilter(), limit=9) if "deep" in row.uri)
        page.open(f"{url}/items/{one.id}/correct")
        page.wait_until(ANSWERED)
        page.run(f"{CLICK}([0.4, 0.6])")
        page.run(f"{FREE}('#b03028')")
        page.wait_until(f"JSON.parse({ANSWERED}).hints.length === 1")
        for name, answer in (
            ("Ben", "This page is Anna's, and Ben is signed in by now"),
            ("Anna", ""),
        ):
            other.open(f"{url}/review")
            other.wait_until("document.querySelector('form[action=\"/sign-out\"] button')")
            other.run("document.querySelector('form[action=\"/sign-out\"] button').click()")
            other.wait_for("Sign in")
            page.run("document.querySelector('[data-toasts]').replaceChildren()")
            page.run(save)
            page.wait_for("Your session has ended: sign in in another tab")
            assert page.run(said) == 1
            sign_in(other, name)
            page.run(save)
            if answer:
                page.wait_for(answer)
        page.wait_for("The scan is being coloured by what was said")
        made = ledger.get_story(one.uri).corrections
        assert [(row.who, row.said["hints"][0]["rgb"]) for row in made] == [("Anna", [176, 48, 40])]


def test_a_session_ends_while_somebody_decides(elsewhere: Settings, tmp_path: Path) -> None:
    """No picture is passed over, and what was decided can still be undone."""
    with (
        open_ledger(elsewhere) as ledger,
        serving(elsewhere) as served,
        signed_in(tmp_path / "anna", url := served.replace("0.0.0.0", "127.0.0.1"), "Anna") as page,  # noqa: S104
        page.another_tab() as other,
    ):
        page.run(
            "void fetch('/api/queue?order=oldest').then((answer) => answer.json())"
            ".then((told) => { window.queued = told.items.map((one) => one.id); })"
        )
        queue = page.wait_until("window.queued")
        assert step(page, "a") == queue[1]
        wait_for_status(ledger, queue[0], "published")
        other.open(f"{url}/review")
        other.wait_until("document.querySelector('form[action=\"/sign-out\"] button')")
        other.run("document.querySelector('form[action=\"/sign-out\"] button').click()")
        other.wait_for("Sign in")
        page.press("u")
        page.wait_for("Not undone: Your session has ended")
        for _ in range(6):  # beyond what is there before it is asked for
            page.press("j")
        page.wait_until("document.querySelectorAll('.toast.bad').length > 1")
        sign_in(other, "Anna")
        at = queue.index(page.run(CURRENT))
        for item in queue[at + 1 :]:
            assert step(page, "j") == item
        page.press("u")
        page.wait_until(f"{CURRENT} === {queue[0]}")
        wait_for_status(ledger, queue[0], "review")


def test_many_at_once(elsewhere: Settings, tmp_path: Path) -> None:
    """On the wall: ticked by click and range, counted, confirmed, done, and taken back."""
    with (
        serving(elsewhere) as served,
        open_ledger(elsewhere) as ledger,
        signed_in(tmp_path / "anna", served.replace("0.0.0.0", "127.0.0.1"), "Anna") as page,  # noqa: S104
    ):
        page.open(served.replace("0.0.0.0", "127.0.0.1") + "/wall")  # noqa: S104
        page.wait_until(
            "document.querySelectorAll('.tile').length === 6 && [...document.querySelectorAll("
            "'.tile img')].every((image) => image.complete && image.naturalWidth)"
        )
        boxes = "[...document.querySelectorAll('[name=item]')]"
        page.run(f"{boxes}[0].click()")
        shift = "new MouseEvent('click', { shiftKey: true, bubbles: true })"
        page.run(f"{boxes}[2].dispatchEvent({shift})")
        page.wait_until("document.querySelector('[data-chosen]').textContent === '3 ticked'")
        page.press("r")
        page.wait_for("Reject 3 scans?")
        statuses = [row.status for row in ledger.list_items(ItemFilter(), limit=10)]
        assert statuses == ["review"] * 6  # it was only asked
        page.run("document.querySelector('form[action=\"/wall/decide\"]').requestSubmit()")
        page.wait_for("Done: reject, 3 scans")
        statuses = [row.status for row in ledger.list_items(ItemFilter(), limit=10)]
        assert sorted(statuses) == ["rejected"] * 3 + ["review"] * 3
        page.run("document.querySelector('form[action=\"/wall/undo\"]').requestSubmit()")
        page.wait_for("3 scans are what they were before")


def test_a_filter_is_what_is_shown(elsewhere: Settings, tmp_path: Path) -> None:
    """On the wall, too: what is ticked is of the filter that the form names."""
    with (
        serving(elsewhere) as served,
        signed_in(tmp_path / "anna", served.replace("0.0.0.0", "127.0.0.1"), "Anna") as page,  # noqa: S104
    ):
        page.open(served.replace("0.0.0.0", "127.0.0.1") + "/wall")  # noqa: S104
        page.wait_until(
            "document.querySelectorAll('.tile').length === 6 && document.readyState === 'complete'"
        )
        page.run(
            "(field => { field.value = 'rejected'; field.dispatchEvent("
            "new Event('change', { bubbles: true })); })(document.getElementById('status'))"
        )
        page.wait_for("Nothing of what you chose is rejected")


def test_on_small_screens(elsewhere: Settings, tmp_path: Path) -> None:
    """A picture is decided without scrolling, and no page is wider than a phone."""
    with (
        serving(elsewhere) as served,
        signed_in(tmp_path / "anna", served.replace("0.0.0.0", "127.0.0.1"), "Anna") as page,  # noqa: S104
    ):
        for width, height in ((1280, 800), (1000, 640)):
            page.see(width, height)
            page.wait_until(f"innerHeight === {height}")
            steps = page.run("document.querySelector('.steps').getBoundingClientRect().bottom")
            assert steps <= height, (width, height)
            assert page.run("document.querySelector('.viewer').clientHeight") > 250
        page.see(390, 844)
        page.open(served.replace("0.0.0.0", "127.0.0.1") + "/review")  # noqa: S104
        page.wait_until(SHOWN)
        for kind in ("approve", "reject", "hold"):
            box = f"document.querySelector('[data-kind={kind}]').getBoundingClientRect()"
            assert page.run(f"{box}.top") > 0
            assert page.run(f"{box}.bottom") <= 844
        for path in (*_PAGES, "/review"):
            page.open(served.replace("0.0.0.0", "127.0.0.1") + path)  # noqa: S104
            there = f"location.pathname === '{path.partition('?')[0]}'"
            page.wait_until(f"{there} && document.readyState === 'complete'")
            assert page.run("document.documentElement.scrollWidth") == 390, path


def axe_core() -> str:
    """The script of axe-core, where `npm install axe-core` has put it; empty: nowhere."""
    named = os.environ.get("AXE_CORE", "node_modules/axe-core/axe.min.js")
    return Path(named).read_text() if Path(named).exists() else ""


@pytest.mark.skipif(not axe_core(), reason="needs axe-core: npm install axe-core, or AXE_CORE")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_axe_finds_nothing(elsewhere: Settings, tmp_path: Path, width: int, dark: bool) -> None:
    """On no page, in no dialog, on desk and phone, in light and dark."""
    with (
        serving(elsewhere) as served,
        signed_in(tmp_path / "anna", served.replace("0.0.0.0", "127.0.0.1"), "Anna") as page,  # noqa: S104
    ):
        page.see(width, 900, dark=dark)
        for path in ("/review", *_PAGES, "/nothing", "/sign-in"):
            page.open(served.replace("0.0.0.0", "127.0.0.1") + path)  # noqa: S104
            page.wait_until("document.readyState === 'complete'")
            for key in ("", "?", "r") if path == "/review" else ("",):
                if key:
                    page.wait_until(SHOWN)
                    page.press(key)
                    page.wait_until("document.querySelector('dialog[open]')")
                page.run(axe_core())
                page.run("axe.run().then(r => { window.found = r.violations.map(v => v.id); })")
                assert page.wait_until("window.found") == [], (path, key)
                page.run("delete window.found")
                page.press("Escape")
