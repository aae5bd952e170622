"""Which files of a source are scans, by name: patterns in gitignore's syntax.

What lies beside scans without being one, checksums, sidecars, what desktops and file servers keep
for themselves, unfinished uploads, is left out and counted. What a file *is*, its content tells: no
default names a kind of picture, and anything not named here is read.
"""

import os
import unicodedata
import warnings
from collections.abc import Sequence
from functools import lru_cache

from pathspec import GitIgnoreSpec
from pathspec.patterns.gitignore import GitIgnorePatternError

from tasks.errors import UsageError
from tasks.filetypes import Format
from tasks.storage.keys import key_from_name

#: Folders that are left out with all that is in them. In small letters: case does not matter here.
FOLDERS = """
@eadir/ #recycle/ #snapshot/ @recycle/ @recently-snapshot/ .@__thumb/ @__thumb/ @tmp/
.snapshot/ .snapshots/ ~snapshot/ .zfs/ .ckpt/ .recycle/ .recycler/ .streams/ .bzvol/
.trash/ .trashes/ .trash-*/ $recycle.bin/ found.[0-9][0-9][0-9]/ lost+found/
system?volume?information/ network?trash?folder/ .temporaryitems/
.appledouble/ .appledb/ .appledesktop/ .spotlight-v100/ .fseventsd/ .documentrevisions-v100/
__macosx/ .thumbnails/ .thumbs/ .xvpics/ .dtrash/ recycler/ .@upload_cache/ .tmb/ .stversions/
.stfolder/ .sync/ .dropbox.cache/ .rsync-partial/ .~tmp~/ .git/ .svn/ .hg/ *.lrdata/
"""
#: Files that are left out, likewise.
FILES = """
*.md5 *.sha1 *.sha224 *.sha256 *.sha384 *.sha512 *.b2 *.b3 *.blake2 *.blake2b *.blake3 *.xxh
*.xxh64 *.xxh128 *.sfv *.crc *.crc32 *.md5sum *.sha1sum *.sha256sum *.sha512sum *.sig *.asc
readme license licence manifest
md5sums sha1sums sha256sums sha512sums b2sums
*.xmp *.xml *.json *.jsonl *.yaml *.yml *.toml *.csv *.tsv *.txt *.md *.log *.hocr *.html *.htm
*.doc *.docx *.odt *.rtf *.xls *.xlsx *.ods *.ini *.cfg *.nfo *.info *.lnk *.url *.webloc
*.pp3 *.dop *.cos *.cot *.cop *.comask *.aae *.nksc *.on1 *.thm *.lrcat *.lrcat-* *.lrprev
*.bridgesort .bridgecache* .bridgelabelsandratings
._* .ds_store .apdisk .volumeicon.icns .com.apple.*
synofile_thumb* synophoto_thumb* *@synoeastream *@synoresource *:zone.identifier
*.zone.identifier ~lock.*# .gitkeep .gitignore .gitattributes .htaccess .nomedia .hidden .keep
.placeholder .listing checksum checksums md5sum sha1sum sha256sum sha512sum
*.mets *.alto *.mods *.premis *.par2 *.ffs_db .csync_*.db* .smbdelete*
thumbs.db thumbs.db:* ehthumbs*.db autorun.inf .directory .picasa.ini
.nfs[0-9a-f]* .fuse_hidden* .goutputstream-* .ftpquota .dropbox .dropbox.attr .syncthing.*.tmp
._sync_*.db* .sync_*.db* .owncloudsync.log* .nextcloudsync.log*
*.part *.partial *.filepart *.crdownload *.opdownload *.download *.aria2 *.!ut *.tmp *.temp
.*.tif.?????? .*.tiff.?????? .*.jpg.?????? .*.jpeg.?????? .*.png.?????? .*.jp2.??????
.pureftpd-upload.* *_$folder$
*.lock *.lck .~lock.*# .#* ~$*.doc* ~$*.xls* ~$*.ppt* *.???~ *.????~ .*.sw[a-p]
"""
_ICON = "icon[\r]"  # the file of that name, a carriage return included, in folders of macOS
#: Names that no default but those of folders can match: nearly all, and asking costs 40 µs.
_PLAIN = tuple(suffix for kind in Format for suffix in kind.suffixes)
_FOLDERS_KEPT = 4096

NOT_INCLUDED = "(not included)"
"""Stands for the pattern, where a file is left out because no pattern includes it."""


class Selection:
    """What the settings and the defaults leave out, and by which pattern.

    As in gitignore, the last pattern that matches decides, one with "!" before it takes back what
    others leave out (the defaults, too), and nothing in a folder that is left out comes back.
    """

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        """Read the patterns.

        Args:
            include: Only files that one of these matches are scans; none: all are.
            exclude: What is left out besides the defaults.

        Raises:
            UsageError: One cannot be read.
        """
        self._include = _read(include, "INCLUDE") if include else None
        self._exclude = _read(exclude, "EXCLUDE")
        self._folder = lru_cache(_FOLDERS_KEPT)(self._judge_folder)

    def left_out_by(self, key: str) -> str:
        """The pattern that leaves *key* out, a file or a folder that ends in "/"; "" for none.

        Accents may be written in either way, in patterns as in keys.
        """
        key = unicodedata.normalize("NFC", key)
        if key.endswith("/"):
            return self._folder(key)
        folder, _, name = key.rpartition("/")
        if folder and (pattern := self._folder(f"{folder}/")):
            return pattern
        said = _said(self._exclude, key)
        if said is None:
            said = _default_for(name)
        if said or self._include is None:
            return said
        return "" if self._include.match_file(key) else NOT_INCLUDED

    def _judge_folder(self, folder: str) -> str:
        above, _, name = folder.removesuffix("/").rpartition("/")
        if above and (pattern := self._folder(f"{above}/")):
            return pattern
        said = _said(self._exclude, folder)
        return said if said is not None else _said(_FOLDERS, f"{name.lower()}/") or ""


def _default_for(name: str) -> str:
    small = name.lower()
    if small[:1].isalnum() and small.endswith(_PLAIN) and not small.startswith("syno"):
        return ""
    return _said(_FILES, small) or ""


def _said(spec: GitIgnoreSpec, key: str) -> str | None:
    """The pattern that leaves *key* out, "" if one takes it back, None if none matches."""
    found = spec.check_file(key)
    if found.include is None or found.index is None:
        return None
    return str(spec.patterns[found.index].pattern) if found.include else ""


def _read(patterns: Sequence[str], setting: str) -> GitIgnoreSpec:
    # As keys are written: bytes that are no text, and accents composed.
    keys = (key_from_name(os.fsencode(pattern)) for pattern in patterns)
    try:
        with warnings.catch_warnings(action="error", category=FutureWarning):
            return GitIgnoreSpec.from_lines([unicodedata.normalize("NFC", key) for key in keys])
    except (GitIgnorePatternError, FutureWarning) as error:  # that, of [[:alpha:]]
        raise UsageError(
            f"AUTOCHROME_{setting}: {error}; write patterns as for gitignore"
        ) from error


def _defaults(*patterns: str) -> GitIgnoreSpec:
    # "#" would begin a comment, "!" take back.
    return GitIgnoreSpec.from_lines(f"\\{one}" if one[0] in "#!" else one for one in patterns)


_FOLDERS = _defaults(*FOLDERS.split())
_FILES = _defaults(*FILES.split(), _ICON)
