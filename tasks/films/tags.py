"""What a film's files say of their origin, in the tags of their containers."""

from pathlib import Path

from tasks.films.opening import open_film
from tasks.provenance import DIGITAL_SOURCE_TYPE, Provenance

#: By which a master is known as one.
MASTER = "AUTOCHROME_MASTER"
_VERSION = "1"
#: What the source's container says that is false of ours.
_NOT_CARRIED = {
    "encoder", "major_brand", "minor_version", "compatible_brands", "creation_time", "duration",
    "timecode", "pixel_aspect", "writing_application", "muxing_application",
}  # fmt: skip
_OURS = {
    MASTER, "COMMENT", "DIGITAL_SOURCE_TYPE", "AI_SYSTEM_USED", "AI_SYSTEM_VERSION_USED", "SOURCE",
    "SOURCE_SHA256", "CHECKPOINT_SHA256", "RECIPE", "CONFIDENCE", "DATE_ENCODED", "ENCODED_BY",
    "SOURCE_COMMENT",
}  # fmt: skip


def source_tags(film: Path) -> dict[str, str]:
    """What a film's container says of it, as far as that holds for what is made of it."""
    with open_film(film) as opened:
        said = {key.lower(): value for key, value in opened.metadata.items()}
    return {key: value for key, value in said.items() if key not in _NOT_CARRIED and value}


def master_tags(film: Path, provenance: Provenance) -> dict[str, str]:
    """The tags of a master: the film's own, then what was made of it, by what, and from what."""
    own = {key.upper(): value for key, value in source_tags(film).items()}
    said = provenance.descriptive
    tags = {
        "TITLE": said.title or said.identifier,
        "DESCRIPTION": said.description,
        "ARTIST": said.artist,
        "COPYRIGHT": said.copyright,
    }
    comment = own.pop("COMMENT", "")
    return {
        **{key: value for key, value in tags.items() if value},
        **own,
        **({"SOURCE_COMMENT": comment} if comment else {}),
        MASTER: _VERSION,
        "COMMENT": note_of(provenance),
        "DIGITAL_SOURCE_TYPE": DIGITAL_SOURCE_TYPE,
        "AI_SYSTEM_USED": f"Autochrome, network {provenance.model_name}",
        "AI_SYSTEM_VERSION_USED": (
            f"{provenance.software}, checkpoint sha256:{provenance.checkpoint_digest}"
        ),
        "SOURCE": provenance.scan_uri,
        "SOURCE_SHA256": provenance.scan_sha256,
        "CHECKPOINT_SHA256": provenance.checkpoint_digest,
        "RECIPE": provenance.recipe_digest,
        "CONFIDENCE": f"{provenance.confidence:.3f}",
        "DATE_ENCODED": provenance.created_at.isoformat(timespec="seconds"),
        "ENCODED_BY": provenance.software,
    }


def restored_tags(master: Path) -> dict[str, str]:
    """The tags of a film that is given back: those that were its own."""
    said = {key.upper(): value for key, value in source_tags(master).items()}
    own = {key: value for key, value in said.items() if key not in _OURS}
    comment = said.get("SOURCE_COMMENT")
    return {**own, **({"COMMENT": comment} if comment else {})}


def note_of(provenance: Provenance) -> str:
    """That the colours are a guess, in words, of a film."""
    return (
        provenance.note.replace("this picture", "this film")
        .replace("a greyscale scan", "a greyscale film")
        .replace("the scan's own tones", "the film's own tones")
    )
