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


def test_readme_names_only_commands_that_exist() -> None:
    """Every `autochrome …` in it can be typed."""
    named = set(re.findall(r"autochrome ([a-z]+)\b", README))
    assert named - COMMANDS == set()


def test_readme_opens_with_the_two_commands() -> None:
    """Nobody has to look for them."""
    start = README[:3000]
    assert start.index("make demo") < start.index("make test")


def test_readme_links_lead_somewhere() -> None:
    """Relative links name files of the repository."""
    for target in re.findall(r"\]\((?!https?://|#)([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_command_line_names_only_commands_that_exist() -> None:
    """Remedies in messages can be typed, too."""
    for folder in ("tasks", "flows", "colormodel"):
        for path in (ROOT / folder).rglob("*.py"):
            for name in re.findall(r"`autochrome ([a-z]+)", path.read_text()):
                assert name in COMMANDS, f"{path.name} names `autochrome {name}`"


DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "deploy").rglob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_no_document_shows_a_password_in_a_command_line(document: Path) -> None:
    """Everyone on a machine can read those; neither does it let a variable's value become one."""
    text = document.read_text()
    assert re.findall(r"\w://[^\s/@:]+:[^\s/@]+@", text) == []
    assert re.findall(r"\$\{?\w*(?:_URL|PASSWORD|SECRET|AUTH\w*)\b", text) == []
