"""A master turned grey again: the film that it was made from, as FFV1, with its sound."""

import tempfile
from pathlib import Path

from tasks.errors import UsageError
from tasks.films.gate import check_reel
from tasks.films.header import read_header
from tasks.films.luma import planes_of
from tasks.films.opening import moments, open_film, pictures_of
from tasks.films.reel import join
from tasks.films.segment import open_segment
from tasks.films.tags import MASTER, restored_tags


def restore_film(master: Path, out: Path) -> int:
    """Write a grey film of a master's Y′, frame by frame, with its sound, timecode and own tags.

    Its frames have the digests of the film that the master was made from; it is read again and
    compared before it is there.

    Args:
        master: FFV1 in Matroska, as `assemble` makes it.
        out: The file to write, FFV1 in Matroska.

    Returns:
        How many frames it has.

    Raises:
        UsageError: It is no master of ours.
        UnreadableScan: It is damaged.
        ToneGateFailed: What was written is not what the master holds.
        OSError: A file cannot be read or written.
    """
    with open_film(master) as film:
        is_ours = MASTER in {key.upper() for key in film.metadata}
    if not is_ours:
        raise UsageError(
            f"{master} is no film that Autochrome coloured, or its tags are gone; name a master.mkv"
        )
    header = read_header(master)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".restoring-") as folder:
        segment, joined = Path(folder) / "grey.mkv", Path(folder) / "joined.mkv"
        with open_film(master) as film, open_segment(segment, header, is_grey=True) as writer:
            for moment in moments(film, pictures_of(film)):
                writer.add((planes_of(moment.frame, 1)[0],), moment.pts)
        join(master, [segment], joined, header=header, tags=restored_tags(master))
        frames = check_reel(master, joined, header, Path(folder) / "framemd5")
        joined.rename(out)
    return frames
