"""The runbook can be followed: what it tells people to type exists, and nothing is left out."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from prefect.cli import _app as prefect_cli

from flows.cli.app import app
from tasks.errors import Reason
from tasks.ledger import Ledger, RunEnding
from tasks.report.metrics import exposition
from tasks.schema import ItemStatus
from tests.deploy.snippets import DEPLOY, ROOT, commands

RUNBOOK = (DEPLOY / "runbook.md").read_text()
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), DEPLOY / "runbook.md"]


def section(title: str) -> str:
    """The text under a heading of the runbook."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", RUNBOOK, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_and_their_options_exist(document: Path) -> None:
    """Each `autochrome …` can be typed as it stands."""
    typed = list(commands(document.read_text(), "autochrome"))
    assert len(typed) > 10 or document.parent.name == "docs"
    whole = typer.main.get_command(app)
    for words in typed:
        command, shown = whole, f"autochrome {' '.join(words)}"
        for word in words:
            # typer brings a click of its own: its classes cannot be asked for.
            below = getattr(command, "commands", None)
            if word.startswith("-"):
                assert word.partition("=")[0] in _options(command), shown
            elif word in {"|", ">"}:
                break
            elif below is not None and word not in below and command.invoke_without_command:
                continue  # a group that does something itself: a value of its options
            elif below is not None:
                # `autochrome backfill SOURCE` means `start`.
                name = word if word in below else "start"
                assert name in below, shown
                command = below[name]


def _options(command: Any) -> set[str]:  # noqa: ANN401 - see above
    names = {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
    start = getattr(command, "commands", {}).get("start")
    return names | {"-h", "--help"} | (_options(start) if start is not None else set())


def test_prefect_commands_exist() -> None:
    """Prefect's own command line takes each `prefect …`."""
    typed = list(commands(RUNBOOK, "prefect"))
    assert len(typed) > 10
    some_id = "00000000-0000-0000-0000-000000000000"
    for words in typed:
        given = [some_id if word in {"ID", "SCHEDULE"} else word for word in words]
        prefect_cli._app.parse_args(given, exit_on_error=False, print_error=False)


@pytest.mark.parametrize("status", ItemStatus)
def test_every_status_has_its_line(status: ItemStatus) -> None:
    """In the table by status."""
    assert f"`{status}`" in section("By status")


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_its_line(reason: Reason) -> None:
    """In the table by reason."""
    assert f"`{reason}`" in section("By reason")


def test_every_alarm_has_its_heading() -> None:
    """And every metric that an alarm looks at is one that Autochrome gives."""
    document = yaml.safe_load((DEPLOY / "alerts.yaml").read_text())
    rules = [rule for group in document["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert section(rule["alert"]).strip()


def test_alarms_look_at_figures_that_are_given(ledger: Ledger) -> None:
    """Names, and the words of their labels."""
    ledger.finish_run(ledger.start_run("nightly", "a night"), RunEnding.ABORTED)
    given = exposition(ledger).decode()
    rules = (DEPLOY / "alerts.yaml").read_text()
    for name in re.findall(r"\b(autochrome_\w+)", rules + RUNBOOK):
        assert re.search(rf"^{name}\b", given, re.MULTILINE), name
    for label, words in re.findall(r'{(\w+)=~?"([a-z_|]+)"}', rules):
        for word in words.split("|"):
            assert f'{label}="{word}"' in given, word


def test_sections_end_with_what_is_true_then() -> None:
    """In the manner of all of them; the alarms' short ones, and tables, apart."""
    for title in ("Things that break", "Orders", "Upgrade", "Backup", "Rotating secrets"):
        assert re.search(rf"^## {title}$", RUNBOOK, re.MULTILINE)
    headings = re.findall(r"^##+ (.*)$", RUNBOOK, re.MULTILINE)
    short = {
        "Where commands run",
        "Alarms",
        "By status",
        "By reason",
        "Things that break",
        "Install",
    }
    for title in headings[: headings.index("Alarms")] + headings[headings.index("By status") :]:
        if title not in short:
            assert "At the end of this step" in section(title), title


def test_links_and_cross_references_lead_somewhere() -> None:
    """Files beside it, and titles in italics."""
    for target in re.findall(r"\]\((?!https?://|#)([^)]+)\)", RUNBOOK):
        assert (DEPLOY / target).exists(), target
    for path in re.findall(r"\bdeploy/[\w./-]+\w", RUNBOOK):
        assert (ROOT / path).exists() or path == "deploy/.env", path
    headings = re.findall(r"^##+ (.*)$", RUNBOOK, re.MULTILINE)
    for title in re.findall(r"(?<![*\w])\*([A-Z][^*\n]+)\*(?!\*)", RUNBOOK):
        assert any(heading.startswith(title) for heading in headings), title
