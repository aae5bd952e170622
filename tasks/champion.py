"""Which checkpoint is in service, and the recipe that follows from it and the settings."""

from colormodel.checkpoint import DEFAULT_CHECKPOINT, Checkpoint, CheckpointError, read_checkpoint
from tasks.derivatives import OutputPolicy
from tasks.errors import NoCheckpoint
from tasks.ledger import Recipe
from tasks.settings import Settings


def find_checkpoint(settings: Settings) -> Checkpoint:
    """The checkpoint that the settings name, or the one that comes with Autochrome.

    Raises:
        NoCheckpoint: It is missing, damaged or of another format.
    """
    path = settings.checkpoint or DEFAULT_CHECKPOINT
    try:
        return read_checkpoint(path)
    except CheckpointError as error:
        raise NoCheckpoint(str(error)) from error


def output_policy(settings: Settings) -> OutputPolicy:
    """Which files are written for an item."""
    return OutputPolicy(
        splice_luma=settings.splice_luma,
        jpeg_quality=settings.access_jpeg_quality,
        chroma_quality=settings.chroma_jpeg_quality,
        rights=settings.rights_statement,
    )


def recipe_of(checkpoint: Checkpoint, policy: OutputPolicy) -> Recipe:
    """All that decides a derivative's pixels."""
    return Recipe(checkpoint.digest, policy.as_dict())
