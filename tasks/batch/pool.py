"""The pixel pool as the settings have it."""

from tasks.batch.children import PixelPool
from tasks.settings import Settings

#: A gigapixel gets an hour more.
TIMEOUT_S_PER_MEGAPIXEL = 3.0


def open_pool(settings: Settings, *, workers: int = 0) -> PixelPool:
    """Make a pool with a child for each core, unless *workers* says else."""
    return PixelPool(
        workers or settings.cores,
        timeout_s=settings.item_timeout_s,
        timeout_s_per_megapixel=TIMEOUT_S_PER_MEGAPIXEL,
        memory_bytes=settings.pixel_memory_mb << 20,
    )
