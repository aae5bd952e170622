"""What a fine-tuning leaves: its figures in the ledger and on cards, and files for people."""

import hashlib
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from colormodel.checkpoint import Card, Checkpoint, TrainingData, read_checkpoint, with_metrics
from colormodel.finetune import Look
from tasks.finetune.judging import Judgement, Scores
from tasks.finetune.material import SetPictures, source_weights
from tasks.finetune.records import Finetuning, TrainingReport
from tasks.finetune.showing import curves_svg, table_markdown
from tasks.ledger.opening import open_output


def show(
    finetuning: Finetuning, judgement: Judgement, looks: Sequence[Look], examples: bytes
) -> TrainingReport:
    """Put what people look at into the output store."""
    table = table_markdown(judgement)
    output = open_output(finetuning.settings, finetuning.ledger)
    prefix = f"trainings/{finetuning.training.id:05}"
    references = finetuning.reference_set
    report = (
        f"# Fine-tuning {finetuning.training.id}\n\nParent {finetuning.parent.digest[:12]}, "
        f"reference set {references.digest[:12]}: {len(references.train)} references to "
        f"learn from, {len(references.evaluation)} held out.\n\n{table}\n\n"
        f"![Loss and watched errors](curves.svg)\n\n"
        + ("![Left grey, champion, challenger, truth](examples.jpg)\n" if examples else "")
    )
    for name, content, content_type in (
        ("curves.svg", curves_svg(looks).encode(), "image/svg+xml"),
        ("examples.jpg", examples, "image/jpeg"),
        ("report.md", report.encode(), "text/markdown; charset=utf-8"),
    ):
        if content:
            path = finetuning.folder / name
            path.write_bytes(content)
            digest = hashlib.sha256(content).hexdigest()
            output.put(f"{prefix}/{name}", path, content_type=content_type, sha256=digest)
    return TrainingReport(table, examples, output.link(f"{prefix}/report.md"))


def figures_of(
    finetuning: Finetuning,
    judgement: Judgement,
    looks: Sequence[Look],
    scores: Mapping[str, Scores],
) -> dict[str, object]:
    """All figures, for the ledger: plain JSON."""
    return {
        "recipe": asdict(finetuning.recipe),
        "references": {
            "train": len(finetuning.reference_set.train),
            "evaluation": len(finetuning.reference_set.evaluation),
        },
        "table": [asdict(row) for row in judgement.table],
        "checks": [asdict(check) for check in judgement.checks],
        "looks": [
            {name: value for name, value in look._asdict().items() if math.isfinite(value)}
            for look in looks
        ],
        "errors": {
            name: {row: [round(one, 4) for one in of_row] for row, of_row in of.errors.items()}
            for name, of in scores.items()
        },
    }


def with_figures(
    finetuning: Finetuning, challenger: Checkpoint, judgement: Judgement
) -> Checkpoint:
    """A copy of the challenger whose card has the figures; the original is left to be taken up."""
    final = finetuning.folder / "challenger.safetensors"
    shutil.copyfile(challenger.path, final)
    figures = {
        f"{row.set}: ciede2000": round(row.ciede2000, 3)
        for row in judgement.table
        if row.row == "challenger"
    }
    return with_metrics(read_checkpoint(final), figures)


def card_of(finetuning: Finetuning, gathered: SetPictures) -> Card:
    """The challenger's card: its parent's, and what it has learnt from."""
    old = finetuning.parent_file.card
    learnt = finetuning.reference_set.digest[:12]
    rights: dict[str, int] = {}
    for one in gathered.train:
        said = one.row.described.rights or "rights not stated"
        rights[said] = rights.get(said, 0) + 1
    return Card(
        name=old.name,
        version=f"{old.version.partition('+')[0]}+{learnt}",
        description=(
            f"{old.description.partition(' Fine-tuned from ')[0]} Fine-tuned from "
            f"{finetuning.parent.digest[:12]} on the reference set {learnt}."
        ),
        data=(
            *(entry for entry in old.data if entry.source != "references"),
            *(TrainingData("references", said, count) for said, count in sorted(rights.items())),
        ),
        recipe=json.dumps(
            asdict(finetuning.recipe) | {"source_weights": source_weights(old)}, sort_keys=True
        ),
        training=f"{old.training}; then fine-tuned on {len(gathered.train)} references",
        limitations=old.limitations,
    )
