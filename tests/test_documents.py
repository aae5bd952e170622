"""The documents say what the code does."""

import re
from pathlib import Path

import pytest
from typer.main import get_group

from flows.cli.app import app
from tasks.errors import Reason
from tasks.report.reasons import REASON_HELP, STATUS_HELP
from tasks.schema import ItemStatus

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = set(get_group(app).commands)


@pytest.mark.parametrize("status", ItemStatus)
def test_readme_explains_every_status(status: ItemStatus) -> None:
    """In the words of the report."""
    told = STATUS_HELP[status]
    assert f"| `{status}` | {told.means} | {told.do} |" in README


@pytest.mark.parametrize("reason", Reason)
def test_readme_explains_every_reason(reason: Reason) -> None:
    """With its verdict, in the words of the report."""
    told = REASON_HELP[reason]
    assert f"| `{reason}` | {reason.verdict} | {told.means} | {told.do} |" in README


@pytest.mark.parametrize("document", PAGES, ids=lambda path: path.name)
def test_documents_name_only_commands_that_exist(document: Path) -> None:
    """Every `autochrome …` in them can be typed."""
    named = set(re.findall(r"autochrome ([a-z]+)\b", document.read_text()))
    assert named - COMMANDS == set()


def test_readme_is_read_in_one_go() -> None:
    """What does not fit has a page of its own."""
    assert len(README.splitlines()) <= 200


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda path: path.name)
def test_every_page_can_be_found(page: Path) -> None:
    """From README and from the index, by a short title."""
    title = page.read_text().splitlines()[0]
    assert re.fullmatch(r"# .{4,30}", title)
    if page.name != "index.md":
        assert f"]({page.name})" in (ROOT / "docs" / "index.md").read_text()
        assert f"](docs/{page.name})" in README


def test_readme_opens_with_the_two_commands() -> None:
    """Nobody has to look for them."""
    start = README[:3000]
    assert start.index("make demo") < start.index("make test")


@pytest.mark.parametrize("document", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    """Relative links name files of the repository, and headings in them."""
    for target, heading in re.findall(
        r"\]\((?!https?://|#)([^)#]+)(?:#([^)]+))?\)", document.read_text()
    ):
        path = document.parent / target
        assert path.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
            assert heading in {_anchor(title) for title in titles}


def _anchor(title: str) -> str:
    """As the pages of repositories name a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def test_the_command_line_names_only_commands_that_exist() -> None:
    """Remedies in messages can be typed, too."""
    for folder in ("tasks", "flows", "colormodel"):
        for path in (ROOT / folder).rglob("*.py"):
            for name in re.findall(r"`autochrome ([a-z]+)", path.read_text()):
                assert name in COMMANDS, f"{path.name} names `autochrome {name}`"


DOCUMENTS = [*PAGES, *sorted((ROOT / "deploy").rglob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_no_document_shows_a_password_in_a_command_line(document: Path) -> None:
    """Everyone on a machine can read those; neither does it let a variable's value become one."""
    text = document.read_text()
    assert re.findall(r"\w://[^\s/@:]+:[^\s/@]+@", text) == []
    assert re.findall(r"\$\{?\w*(?:_URL|PASSWORD|SECRET|AUTH\w*)\b", text) == []


@pytest.mark.parametrize("root", ["colormodel", "tasks", "flows"])
def test_every_folder_of_modules_is_a_package(root: str) -> None:
    """Import contracts and the type checker pass by what is none."""
    folders = {path.parent for path in (ROOT / root).rglob("*.py")}
    assert len(folders) >= 5
    assert [str(one) for one in folders if not (one / "__init__.py").is_file()] == []
