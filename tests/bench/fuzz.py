"""Feeds damaged files to the reader, in the pool that isolates it, and checks how each one ends.

    python -m tests.bench.fuzz [--files N] [--seed N] [--folder DIR]

Every file is a scan of the reader's matrix with damage: bits flipped, bytes cut out or put in, a
number in its header overwritten, an end cut off, two files grafted together. Right is a whole
picture of the size that the header tells, or an error with a reason of the closed list that lays
the fault at the file's door. Wrong are `unexpected`, a crash, a hang, half a picture; such files
are kept in the folder, and the exit code is 1.
"""

import argparse
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pebble import ProcessExpired

from tasks.batch.children import PixelPool
from tasks.errors import AutochromeError, Reason, Verdict, reason_of
from tests import scanfiles
from tests.tasks.batch.childwork import read_whole

TIMEOUT_S = 60
MEMORY_BYTES = 2 << 30
_NUMBERS = (
    b"\0",
    b"\xff",
    b"\x7f\xff\xff\xff",
    b"\0\0\0\1",
    b"\xff\xff",
    b"\0\0\xff\xff",
    b"\x80\0",
)

Damage = Callable[[random.Random, bytes, bytes], bytes]


@dataclass(frozen=True)
class Ending:
    """How a file ended, and whether that is right."""

    words: str
    is_right: bool


def flip(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """Flip one to twenty bits, half of the time near the beginning."""
    damaged = bytearray(data)
    end = rng.choice([len(data), min(len(data), 600)])
    for _bit in range(rng.choice([1, 1, 2, 5, 20])):
        damaged[rng.randrange(end)] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def lie(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """Overwrite a number in the header, or in a directory at the end."""
    number = rng.choice(_NUMBERS)
    near = rng.choice([0, max(0, len(data) - 600)])
    at = min(near + rng.randrange(600), len(data) - len(number))
    return data[:at] + number + data[at + len(number) :]


def cut(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """Leave the end away."""
    return data[: rng.randrange(len(data))]


def remove(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """Leave some bytes away in the middle."""
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.choice([1, 2, 16, 512]) :]


def insert(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """Put foreign bytes in."""
    at = rng.randrange(len(data))
    return data[:at] + rng.randbytes(rng.choice([1, 2, 16, 512])) + data[at:]


def graft(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """Go on with another file's bytes."""
    at = rng.randrange(len(data))
    return data[:at] + other[min(at, len(other)) :]


DAMAGES: tuple[Damage, ...] = (flip, flip, lie, lie, cut, remove, insert, graft)


def sound_files(folder: Path) -> list[bytes]:
    """One file for each row of the reader's matrix."""
    found = []
    for number, make in enumerate(scanfiles.READABLE.values()):
        inner = folder / f"sound-{number}"
        inner.mkdir()
        found.append(make(inner).path.read_bytes())
    return found


def ending_of(future: "Future[str]") -> Ending:
    """Wait for a file's end."""
    try:
        words = future.result()
    except AutochromeError as error:
        reason = reason_of(error)
        fault = reason.verdict in {Verdict.SKIP, Verdict.QUARANTINE}
        has_remedy = "; " in str(error) and "\n" not in str(error)
        is_right = fault and has_remedy and reason is not Reason.KILLED_WORKER
        return Ending(reason.value, is_right)
    except ProcessExpired as error:
        return Ending(f"crash, exit code {error.exitcode}", is_right=False)
    except TimeoutError:
        return Ending("hang", is_right=False)
    except Exception as error:  # noqa: BLE001 -- whatever it is, it is wrong
        return Ending(f"{type(error).__name__}: {error}"[:160], is_right=False)
    return Ending(words, is_right=words == "picture")


def fuzz(folder: Path, *, files: int, seed: int, workers: int = 1) -> Counter[Ending]:
    """Damage files, read them, and count how they ended; the wrong ones stay in *folder*."""
    rng = random.Random(seed)  # noqa: S311 -- the same damage each time
    counts: Counter[Ending] = Counter()
    with tempfile.TemporaryDirectory() as name:
        sound = sound_files(Path(name))
        pool = PixelPool(workers, timeout_s=TIMEOUT_S, memory_bytes=MEMORY_BYTES)
        with closing(pool):
            for start in range(0, files, 64):
                batch = {}
                for number in range(start, min(files, start + 64)):
                    damage = rng.choice(DAMAGES)
                    path = folder / f"{seed}-{number}-{damage.__name__}"
                    path.write_bytes(damage(rng, rng.choice(sound), rng.choice(sound)))
                    batch[path] = pool.submit(read_whole, path)
                for path, future in batch.items():
                    ending = ending_of(future)
                    counts[ending] += 1
                    if ending.is_right:
                        path.unlink()
    return counts


def main() -> None:
    """Fuzz, and print how the files ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1907)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("var/fuzz"))
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    counts = fuzz(
        arguments.folder, files=arguments.files, seed=arguments.seed, workers=arguments.workers
    )
    for ending, count in counts.most_common():
        print(f"{count:6} {'' if ending.is_right else 'WRONG '}{ending.words}")  # noqa: T201
    if not all(ending.is_right for ending in counts):
        sys.exit(f"wrong ones are kept in {arguments.folder}")


if __name__ == "__main__":
    main()
