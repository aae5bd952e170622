"""Does learning from references help? One command, from nothing to the table.

    python -m tests.bench.finetune_references --dir var/experiment

Takes the period photographs in ../shared/data/references as what curators supplied, lets the
bundled champion learn from those that are for training, and judges champion and challenger on those
held out and on the base photographs (`val` of ../shared/data/photos), as the `finetune` flow does.
Run again after a kill, it goes on; a finished one is told again.
"""

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path

from tasks.finetune.records import Finetuning, NoTraining
from tasks.finetune.steps import begin, conclude, judge_challenger, train
from tasks.ledger import Ledger
from tasks.ledger.migrate import make_if_missing
from tasks.ledger.opening import open_ledger
from tasks.ledger.reference_records import Description
from tasks.ledger.references import list_references
from tasks.ledger.trainings import list_trainings
from tasks.references.adding import Delivery, add_references
from tasks.references.finding import Search, find_files
from tasks.settings import Settings, load_settings

DATA = Path("../shared/data")


def main() -> int:
    """Run it; the table goes to stdout, progress to stderr."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dir", type=Path, default=Path("var/experiment"), help="kept there")
    parser.add_argument("--references", type=Path, default=DATA / "references")
    parser.add_argument("--photos", type=Path, default=DATA / "photos")
    parser.add_argument("--judged", type=int, default=500, help="base photographs judged on")
    given = parser.parse_args()
    given.dir.mkdir(parents=True, exist_ok=True)
    settings = load_settings(
        database_url=f"sqlite:///{given.dir.absolute() / 'autochrome.db'}",
        output=str(given.dir / "colour"),
        base_photos=given.photos,
        finetune_folder=given.dir / "finetune",
        finetune_judged_photos=given.judged,
    )
    make_if_missing(settings.database_url.get_secret_value())
    began = time.monotonic()
    with open_ledger(settings) as ledger:
        supply(settings, ledger, given.references)
        learn(settings, ledger)
        tell(ledger)
    minutes = (time.monotonic() - began) / 60
    print(f"\n{minutes:.1f} min, {os.cpu_count()} cores, {platform.machine()}")  # noqa: T201
    return 0


def supply(settings: Settings, ledger: Ledger, folder: Path) -> None:
    """Add the references, once."""
    if list_references(ledger):
        return
    found = find_files(Search(settings, Description(rights="public domain")), str(folder))
    answers = add_references(settings, ledger, Delivery(found, "references", "curator"))
    for answer in answers:
        if answer.verdict:
            say(f"{answer.origin}: {answer.verdict.refusal}, {answer.verdict.detail}")
    say(f"{sum(not answer.verdict for answer in answers)} of {len(answers)} references taken in")


def learn(settings: Settings, ledger: Ledger) -> None:
    """Train, judge, conclude."""
    with begin(settings, ledger, run_id=None, who="experiment") as finetuning:
        if isinstance(finetuning, NoTraining):
            say(f"skipped: {finetuning.why}")
            return
        run(finetuning)


def run(finetuning: Finetuning) -> None:
    """The steps of one."""
    trained = train(finetuning, on_look=lambda look: say(json.dumps(look._asdict())))
    conclude(finetuning, judge_challenger(finetuning, trained), None, who="experiment")


def tell(ledger: Ledger) -> None:
    """Print what the ledger has."""
    for training in list_trainings(ledger)[:1]:
        lines = [
            "| set | row | pictures | ΔE₀₀ | 95 % interval of the difference | colourfulness |"
        ]
        lines.append("|---|---|--:|--:|---|--:|")
        for row in training.figures.get("table", ()):  # type: ignore[attr-defined]
            span = ""
            if found := row["difference"]:
                span = f"{found['mean']:+.2f} ({found['low']:+.2f} to {found['high']:+.2f})"
            lines.append(
                f"| {row['set']} | {row['row']} | {row['pictures']} | {row['ciede2000']:.2f} | "
                f"{span} | {row['colourfulness']:.2f} |"
            )
        print("\n".join([*lines, "", f"{training.verdict}: {training.why}"]))  # noqa: T201


def say(words: str) -> None:
    """Progress, on stderr."""
    print(words, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
