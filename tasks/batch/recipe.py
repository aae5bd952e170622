"""What the settings say of pixels: limits, judgements, files to write, and the recipe."""

from dataclasses import asdict

from tasks.checkpoints import digest_in_service
from tasks.derivatives import OutputPolicy
from tasks.ledger import Ledger, Recipe
from tasks.scans.findings import Thresholds
from tasks.scans.header import ReadLimits
from tasks.settings import Settings


def output_policy(settings: Settings) -> OutputPolicy:
    """Which files are written for an item."""
    return OutputPolicy(
        grey_jpeg=settings.grey_jpeg,
        master=settings.write_master,
        access=settings.write_access,
        access_px=settings.access_px,
        thumbnail_px=settings.thumbnail_px,
        sidecar=settings.write_sidecar,
        jpeg_quality=settings.access_jpeg_quality,
        chroma_quality=settings.chroma_jpeg_quality,
        subsample=settings.access_jpeg_subsampling,
        rights=settings.rights_statement,
    )


def read_limits(settings: Settings) -> ReadLimits:
    """What a scan's file may ask for."""
    return ReadLimits(max_pixels=settings.max_pixels, max_buffer_bytes=settings.max_buffer_mb << 20)


def recipe_of(checkpoint_digest: str, settings: Settings) -> Recipe:
    """All that decides a derivative's pixels: also which parts of a scan stay neutral."""
    rules = Thresholds()
    neutral = {"frame": asdict(rules.frame), "wedge": asdict(rules.wedge)}
    neutral["own_colour"] = asdict(rules.island)
    decided = {**output_policy(settings).as_dict(), "neutral": neutral, "fade": settings.fade}
    return Recipe(checkpoint_digest, decided)


def recipe_in_service(settings: Settings, ledger: Ledger) -> Recipe:
    """The recipe that follows from the champion and the settings."""
    return recipe_of(digest_in_service(settings, ledger), settings)
