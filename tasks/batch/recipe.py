"""What the settings say of pixels: limits, judgements, files to write, and the recipe."""

from dataclasses import asdict

from colormodel.checkpoint import Checkpoint
from tasks.derivatives import OutputPolicy
from tasks.ledger import Recipe
from tasks.scans.blank import BlankRule
from tasks.scans.findings import Thresholds
from tasks.scans.frame import FrameRule
from tasks.scans.header import ReadLimits
from tasks.scans.hue import HueRule
from tasks.scans.negative import NegativeRule
from tasks.scans.twotone import TwoToneRule
from tasks.scans.wedge import WedgeRule
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


def thresholds(settings: Settings) -> Thresholds:
    """Where each judgement of a scan turns."""
    return Thresholds(
        frame=FrameRule(dark=settings.border_dark_l, light=settings.border_light_l),
        hue=HueRule(
            grey_mean=settings.grey_below_chroma,
            toned_rest=settings.toned_below_chroma,
            colour_rest=settings.colour_from_chroma,
        ),
        two_tone=TwoToneRule(
            pure_between=settings.print_between_share, text_between=settings.text_between_share
        ),
        blank=BlankRule(spread=settings.blank_below_l),
        negative=NegativeRule(
            in_light_border=settings.negative_in_border_score,
            without_border=settings.negative_score,
        ),
        wedge=WedgeRule(steps=settings.wedge_steps),
    )


def recipe_of(checkpoint: Checkpoint, settings: Settings) -> Recipe:
    """All that decides a derivative's pixels: also which parts of a scan stay neutral."""
    rules = thresholds(settings)
    neutral = {"frame": asdict(rules.frame), "wedge": asdict(rules.wedge)}
    neutral["own_colour"] = asdict(rules.island)
    decided = {**output_policy(settings).as_dict(), "neutral": neutral, "fade": settings.fade}
    return Recipe(checkpoint.digest, decided)
