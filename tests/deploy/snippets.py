"""The commands that a document tells people to type."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def commands(document: str, program: str) -> Iterator[list[str]]:
    """The words after *program*, of each command in a code block or between backquotes."""
    for snippet in _snippets(document):
        if program not in snippet or "…" in snippet.partition("#")[0]:
            continue
        words = shlex.split(snippet.replace("|", " | "), comments=True)
        # In containers it comes behind `exec worker` or `exec deployment/worker --`.
        starts = [
            place
            for place, word in enumerate(words)
            if word == program and (place == 0 or words[place - 1] in {"--", "worker"})
        ]
        for start in starts:
            yield words[start + 1 :]


def _snippets(document: str) -> Iterator[str]:
    blocks = re.split(r"^ *```\w*\n", document, flags=re.MULTILINE)
    for number, block in enumerate(blocks):
        if number % 2:
            yield from block.splitlines()
        else:
            yield from (" ".join(span.split()) for span in re.findall(r"`([^`]+)`", block))
