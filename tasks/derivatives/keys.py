"""Where a derivative is stored: a name that depends on the item alone, and on no other item."""

import hashlib
import re
from typing import Protocol

from tasks.derivatives.policy import WrittenFile
from tasks.filetypes import SUFFIXES
from tasks.storage.keys import WORK, safe_key

_LIKE_A_FILE = re.compile(
    rf"(?:{'|'.join(map(re.escape, sorted(SUFFIXES)))})(?:\.d)*(?=/)", re.IGNORECASE
)
_MARK = re.compile(r"\.(?:page|rev|correction)-\d{4,}$")
_UNNAMED = ".scan"


class Item(Protocol):
    """What of an item its derivatives' names depend on."""

    @property
    def source(self) -> str:
        """Address of the store that the scan lies in."""

    @property
    def key(self) -> str:
        """The scan's key in its store."""

    @property
    def page(self) -> int:
        """The page of the scan's file, from 0."""

    @property
    def revision(self) -> int:
        """The scan's revision, from 1."""


def derivative_key(
    recipe_digest: str, item: Item, file: WrittenFile, *, correction: int = 0
) -> str:
    """The key of a derivative: `recipe-source/kind/key`, with page, revision, suffix where needed.

    Recipe and source are named by the beginnings of digests: two sources may hold scans of one key.
    A scan `box 12/a.jpg` becomes `7e7e…-c0ff…/master/box 12/a.jpg`, `a.tif` becomes `a.tif.jpg`,
    its second page `a.tif.page-0002.jpg`, its second revision `a.tif.rev-0002.jpg`, as a person has
    corrected it `a.tif.correction-0012.jpg`, beside the network's own. Scans whose own
    names look like these get a longer name, so that no two items ever share one. Folders that are
    named like a picture, `a.jpg/b.tif`, become `a.jpg.d`: a bucket may hold a scan `a.jpg` beside
    them, which a folder could not. Keys that would leave the store, or that no store can hold, are
    made safe; the result is what is recorded.
    """
    source = hashlib.sha256(item.source.encode()).hexdigest()
    name = _LIKE_A_FILE.sub(r"\g<0>.d", _named(item, file.suffix, correction))
    return safe_key(f"{recipe_digest[:12]}-{source[:8]}/{file.kind}/{name}")


def work_folder(recipe_digest: str, item: Item, item_id: int) -> str:
    """Where segments of a film lie until its reel is whole: beside what is published."""
    return f"{WORK}/{recipe_digest[:12]}-{item_id}/rev-{item.revision}"


def poster_key(recipe_digest: str, item: Item, shot: int) -> str:
    """The key of a picture of a film's shot, before and after side by side."""
    source = hashlib.sha256(item.source.encode()).hexdigest()
    name = _LIKE_A_FILE.sub(r"\g<0>.d", f"{item.key}/")
    revision = f"rev-{item.revision:04}-" if item.revision > 1 else ""
    return safe_key(f"{recipe_digest[:12]}-{source[:8]}/shots/{name}{revision}{shot:05}.jpg")


def _named(item: Item, suffix: str, correction: int) -> str:
    page = f".page-{item.page + 1:04}" if item.page else ""
    revision = f".rev-{item.revision:04}" if item.revision > 1 else ""
    corrected = f".correction-{correction:04}" if correction else ""
    if page or revision or corrected:
        looks_marked = _MARK.search(item.key) or item.key.endswith(_UNNAMED)
        return f"{item.key}{_UNNAMED if looks_marked else ''}{page}{revision}{corrected}{suffix}"
    stem = item.key[: -len(suffix)] if item.key.lower().endswith(suffix) else ""
    if stem and not _MARK.search(stem) and _extension(stem) not in {*SUFFIXES, _UNNAMED}:
        return item.key
    if _extension(item.key) in SUFFIXES:
        return f"{item.key}{suffix}"
    return f"{item.key}{_UNNAMED}{suffix}"


def _extension(key: str) -> str:
    name = key.rpartition("/")[2]
    return name[name.rfind(".") :].lower() if "." in name else ""
