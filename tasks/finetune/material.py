"""What a fine-tuning works with: a frozen set of references, and base photographs."""

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from colormodel.checkpoint import Card
from colormodel.evaluate import Photograph, PhotographsError, iter_photographs
from colormodel.finetune import Material
from colormodel.infer import Colorizer
from colormodel.photos import DataError, Photos, load_photos
from tasks.batch.children import PixelPool
from tasks.batch.pool import open_pool
from tasks.batch.recipe import read_limits
from tasks.errors import FixityMismatch, UsageError
from tasks.ledger import Ledger
from tasks.ledger.reference_records import ReferenceRow, ReferenceSetRow, Split
from tasks.ledger.references import freeze_set, list_references
from tasks.references.look import LookRequest, look_at_reference
from tasks.references.plausible import LEAST_PICTURES, agreement_of, judge_agreements
from tasks.settings import Settings
from tasks.storage import open_for_reading

Codes = NDArray[np.uint8]

#: Of the references for training, the share that the training is watched on.
_WATCHED_SHARE = 0.2
_LEAST_WATCHED = 3
#: Base photographs that the training is watched on; a quarter of them where they are few.
_WATCHED_BASE = 96
#: Photographs of less mean chroma are grey already: nothing is learnt from them.
_LEAST_CHROMA = 4.0


@dataclass(frozen=True)
class Picture:
    """A reference, decoded."""

    row: ReferenceRow
    codes: Codes  #: sRGB, uint8 (h, w, 3), the shorter side about 256 pixels


@dataclass(frozen=True)
class SetPictures:
    """The pictures of a frozen set."""

    train: tuple[Picture, ...]
    held_out: tuple[Picture, ...]


def freeze(ledger: Ledger, *, who: str) -> tuple[ReferenceSetRow, list[ReferenceRow]]:
    """Freeze all references that stand."""
    rows = list_references(ledger)
    return freeze_set(ledger, rows, who=who), rows


def gather(settings: Settings, rows: Sequence[ReferenceRow], scratch: Path) -> SetPictures:
    """Fetch and decode references.

    Raises:
        FixityMismatch: One is not what was recorded.
        AutochromeError: One cannot be read any more.
    """
    with closing(open_pool(settings, workers=1)) as pool:
        pictures = [_picture(settings, row, pool, scratch / "reference") for row in rows]
    return SetPictures(
        tuple(one for one in pictures if one.row.split is Split.TRAIN),
        tuple(
            one
            for one in pictures
            if one.row.split is Split.EVALUATION and one.row.described.kind.is_evidence
        ),
    )


def _picture(settings: Settings, row: ReferenceRow, pool: PixelPool, path: Path) -> Picture:
    store = open_for_reading(row.store, settings=settings)
    if store.fetch(row.key, path) != row.sha256:
        raise FixityMismatch(
            f"reference {row.id} ({row.origin}) is not what was recorded; restore {row.store}/"
            f"{row.key} from a copy, or withdraw it with `autochrome references withdraw {row.id}`"
        )
    request = LookRequest(path, read_limits(settings))
    return Picture(row, pool.run(look_at_reference, request).codes)


def suspect(gathered: SetPictures, colorizer: Colorizer) -> str:
    """Say which part of a set has colours that cannot be; empty where none has.

    Asked of all together, of those for training, of those held out, and of what each person and
    each delivery brought, the fewest first: a small bad delivery disappears among many good ones.
    What was vouched for is left out.
    """
    asked = [one for one in (*gathered.train, *gathered.held_out) if not one.row.vouched]
    if len(asked) < LEAST_PICTURES:
        return ""
    agreements = {one.row.id: agreement_of(one.codes, colorizer) for one in asked}
    parts = _parts([one.row for one in asked])
    for name, rows in sorted(parts.items(), key=lambda part: len(part[1])):
        judged = judge_agreements([agreements[row.id] for row in rows])
        if judged is not None and judged.suspicion:
            return (
                f"the colours of {name} look changed: {judged.suspicion} (agreement "
                f"{judged.agreement:.2f}, of genuine ones about 0.3); withdraw them with "
                "`autochrome references withdraw`, or add them again with --vouch"
            )
    return ""


def _parts(rows: Sequence[ReferenceRow]) -> dict[str, list[ReferenceRow]]:
    parts: dict[str, list[ReferenceRow]] = {}
    for row in rows:
        for name in (
            "the references",
            "the references for training"
            if row.split is Split.TRAIN
            else "the references held out",
            f"the references that {row.added_by} added",
            f"the delivery of {row.added_at:%Y-%m-%d %H:%M} by {row.added_by}",
        ):
            parts.setdefault(name, []).append(row)
    return parts


def material_of(settings: Settings, gathered: SetPictures, parent: Card) -> Material:
    """Part the training split into what is learnt from and what is watched; add base photographs.

    Of these, each source counts as it did when the parent was trained, as its card tells.

    Raises:
        UsageError: There are no base photographs.
    """
    by_digest = sorted(gathered.train, key=lambda one: one.row.sha256[8:])
    watched = min(len(by_digest), max(_LEAST_WATCHED, round(_WATCHED_SHARE * len(by_digest))))
    base = _thinned(_base_photos(settings), source_weights(parent))
    watched_base = min(_WATCHED_BASE, len(base) // 4)
    return Material(
        references=_photos(by_digest[watched:]),
        watched=[one.codes for one in by_digest[:watched]],
        base=_cut(base, slice(watched_base, None)),
        watched_base=base.pictures[:watched_base],
    )


def source_weights(parent: Card) -> dict[str, float]:
    """How much each source of base photographs counted when the parent was trained; else 1."""
    try:
        recipe = json.loads(parent.recipe or "{}")
    except ValueError:  # a card that somebody wrote by hand
        return {}
    weights = recipe.get("source_weights") or recipe.get("data", {}).get("source_weights") or {}
    return {str(source): float(weight) for source, weight in weights.items()}


def held_out_photographs(gathered: SetPictures) -> list[Photograph]:
    """The references held out, as the evaluation takes them."""
    return [
        Photograph(f"reference {one.row.id}", one.row.collection, one.codes)
        for one in gathered.held_out
    ]


def base_photographs(settings: Settings) -> list[Photograph]:
    """The base photographs that every challenger is judged on.

    Raises:
        UsageError: There are none.
    """
    check_base(settings)
    try:
        photographs = iter_photographs(
            _base_folder(settings), limit=settings.finetune_judged_photos
        )
        return list(photographs)
    except PhotographsError as error:
        raise UsageError(
            f"{error}; set AUTOCHROME_BASE_PHOTOS to a folder that has them"
        ) from error


def check_base(settings: Settings) -> None:
    """See that there are base photographs, before anything is done.

    Raises:
        UsageError: There are none.
    """
    folder = _base_folder(settings)
    for split in ("train", "val"):
        if not (folder / f"{split}.csv").is_file() or not any(folder.glob(f"{split}-*.tar")):
            raise UsageError(
                f"{folder}: has no {split}.csv with {split}-*.tar; a fine-tuning replays base "
                "photographs and is judged on others: set AUTOCHROME_BASE_PHOTOS to their folder"
            )


def _base_folder(settings: Settings) -> Path:
    if settings.base_photos is None:
        raise UsageError(
            "no base photographs: without replay a network forgets what it knows; set "
            "AUTOCHROME_BASE_PHOTOS to a folder with train.csv, train-*.tar, val.csv and val-*.tar"
        )
    return settings.base_photos


def _base_photos(settings: Settings) -> Photos:
    limit = settings.finetune_replay_photos + _WATCHED_BASE
    try:
        return load_photos(_base_folder(settings), least_chroma=_LEAST_CHROMA, limit=limit)
    except DataError as error:
        raise UsageError(f"{error}; set AUTOCHROME_BASE_PHOTOS") from error


def _thinned(photos: Photos, weights: Mapping[str, float]) -> Photos:
    """Leave out as many of each source as its weight is below 1, the same ones every time."""
    draws = np.random.default_rng(0).random(len(photos))
    kept = [
        place
        for place, (source, draw) in enumerate(zip(photos.sources, draws, strict=True))
        if draw < weights.get(source, 1.0)
    ]
    return Photos(
        [photos.pictures[place] for place in kept],
        [photos.sources[place] for place in kept],
        photos.licences,
    )


def _cut(photos: Photos, part: slice) -> Photos:
    return Photos(photos.pictures[part], photos.sources[part], photos.licences)


def _photos(pictures: Sequence[Picture]) -> Photos:
    rights = {one.row.described.rights or "rights not stated" for one in pictures}
    return Photos(
        [one.codes for one in pictures],
        ["references"] * len(pictures),
        {"references": "; ".join(sorted(rights))},
    )
