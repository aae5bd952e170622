"""Walking a folder in the order of its keys, holding one folder's names at a time."""

import logging
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tasks.storage.keys import RESERVED, key_from_name, name_from_key, shown
from tasks.storage.objects import Link, Watch

logger = logging.getLogger(__name__)

_SHOWN_CHARACTERS = 200  # of a name that cannot be listed, perhaps because it is too long
_KINDS = {stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}


class Found(NamedTuple):
    """A regular file, and the link out of the tree that it is or lies under."""

    key: str
    status: os.stat_result
    link: Link | None


@dataclass
class _Folder:
    """A folder that is being walked: what of it is still to come, and whether anything came."""

    key: str
    link: Link | None
    names: Iterator[str]
    linked: set[str]  # names that are links
    is_empty: bool = True


class Walk:
    """One walk over a folder tree. What cannot be read is collected, not dropped.

    Links to files are followed. A link to a folder is followed when it leads out of the tree, as
    archives are put together from mounts; one that leads back into the tree, to a folder above it,
    or to where an earlier link led is not: its files are listed in their own place, and loops end.
    Devices, pipes and sockets are no objects: the watch is told of them.

    Attributes:
        unreadable: Of what could not be read, key and cause. Complete when the walk is over.
    """

    def __init__(self, root: Path, watch: Watch | None = None) -> None:
        self.unreadable: list[str] = []
        self._watch = watch
        self._root = os.fsencode(root)
        self._home = Path(os.path.realpath(root))  # unlike `resolve`, it takes links in a circle
        self._followed = [self._home]

    def files(self, prefix: str = "") -> Iterator[Found]:
        """Yield every regular file whose key begins with *prefix*, by key."""
        # A stack of our own: a tree may be deeper than the interpreter's. Folders sort as "name/",
        # so that the keys below them come where a sorted list of all keys would have them.
        stack = [self._open("", None)]
        while stack:
            folder = stack[-1]
            name = next(folder.names, None)
            if name is None:
                self._leave(stack)
                continue
            key = folder.key + name
            if key.endswith("/"):
                if key.startswith(prefix) or prefix.startswith(key):
                    self._look_into(key, stack)
            elif key.startswith(prefix) and (status := self._status(key)):
                folder.is_empty = False
                yield Found(key, status, self._link_of(key, folder, name))

    def _open(self, key: str, link: Link | None) -> "_Folder":
        names, linked = self._names(key)
        return _Folder(key, link, iter(names), linked)

    def _look_into(self, key: str, stack: list["_Folder"]) -> None:
        if self._leaves_out(key):
            return
        folder = stack[-1]
        link = folder.link
        if key[len(folder.key) : -1] in folder.linked:
            target = self._target(key)
            if not self._follows(key, target):
                return
            link = Link(key, f"{_as_key(target)}/")
        stack.append(self._open(key, link))

    def _leave(self, stack: list["_Folder"]) -> None:
        """A folder is at its end. One with a file somewhere below it is not empty."""
        left = stack.pop()
        if not left.is_empty and stack:
            stack[-1].is_empty = False
        if left.is_empty and self._watch:
            self._watch.found_empty(left.key)

    def _leaves_out(self, key: str) -> bool:
        return self._watch is not None and self._watch.leaves_out(key)

    def _path(self, key: str) -> bytes:
        return os.path.join(self._root, name_from_key(key))  # noqa: PTH118 - names are bytes here

    def _names(self, folder: str) -> tuple[list[str], set[str]]:
        """Return what is in *folder*, sorted, names of folders ending with "/"; and the links."""
        names, linked = [], set()
        try:
            with os.scandir(self._path(folder)) as entries:
                for entry in entries:
                    name = key_from_name(entry.name)
                    if name != RESERVED:
                        names.append(name + self._kind(entry, folder + name))
                        if entry.is_symlink():
                            linked.add(name)
        except OSError as error:
            self._note(folder or ".", error)
        return sorted(name for name in names if not name.endswith("//")), linked

    def _kind(self, entry: "os.DirEntry[bytes]", key: str) -> str:
        """Return "" for a file, "/" for a folder to walk, "//" for what is not listed."""
        try:
            if entry.is_dir(follow_symlinks=False):
                return "/"
            if entry.is_file(follow_symlinks=False):
                return ""
            mode = entry.stat().st_mode  # of what a link leads to
        except OSError as error:
            if not (self._leaves_out(key) or self._leaves_out(f"{key}/")):  # a lock, say
                self._note(key, error)
            return "//"
        if stat.S_ISDIR(mode):
            return "/"
        if stat.S_ISREG(mode):
            return ""
        if self._watch:
            self._watch.found_special(key, _KINDS.get(stat.S_IFMT(mode), "device"))
        return "//"

    def _target(self, key: str) -> Path:
        return Path(os.fsdecode(os.path.realpath(self._path(key.removesuffix("/")))))

    def _link_of(self, key: str, folder: _Folder, name: str) -> Link | None:
        """The link out of the tree that a file is, else the one that it lies under."""
        if name in folder.linked and not (target := self._target(key)).is_relative_to(self._home):
            return Link(key, _as_key(target))
        return folder.link

    def _follows(self, key: str, target: Path) -> bool:
        """Whether a link leads to a folder that is not listed elsewhere."""
        if self._home.is_relative_to(target) or any(
            target.is_relative_to(tree) for tree in self._followed
        ):
            logger.info(
                "%s: link to %s not followed, it is listed in its own place", shown(key), target
            )
            return False
        self._followed.append(target)
        return True

    def _status(self, key: str) -> os.stat_result | None:
        if self._leaves_out(key):
            return None
        try:
            status = os.stat(self._path(key))  # noqa: PTH116 - names are bytes here
        except FileNotFoundError:
            return None  # deleted since its folder was read
        except OSError as error:
            self._note(key, error)
            return None
        return status if stat.S_ISREG(status.st_mode) else None

    def _note(self, key: str, error: OSError) -> None:
        cause = (error.strerror or type(error).__name__).lower()
        name = shown(key)
        if len(name) > _SHOWN_CHARACTERS:
            name = f"{name[: _SHOWN_CHARACTERS // 2]}…{name[-_SHOWN_CHARACTERS // 2 :]}"
        logger.warning("%s: cannot be listed: %s", name, cause)
        self.unreadable.append(f"{name} ({cause})")


def _as_key(path: Path) -> str:
    return key_from_name(os.fsencode(path)).rstrip("/")
