"""Champion and challenger, judged in one run on the same pictures; only evidence promotes."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from colormodel.checkpoint import Checkpoint
from colormodel.evaluate import Contestant, Measurer, Photograph
from colormodel.infer import Colorizer
from colormodel.metrics import PairedDifference, paired_bootstrap

CHAMPION, CHALLENGER, GREY = "champion", "challenger", "left grey"
_TOGETHER = 8


@dataclass(frozen=True)
class Scores:
    """What was measured on one set of pictures.

    Attributes:
        errors: ΔE₀₀ of each picture, by row; the pictures in the same order in each.
        colourfulness: Mean over the pictures, over the truth's, by row.
        likeness: MS-SSIM of a*b* of each picture, by row; as *errors*.
    """

    errors: Mapping[str, tuple[float, ...]]
    colourfulness: Mapping[str, float]
    likeness: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Rules:
    """What a challenger must show.

    Attributes:
        least_pictures: Held-out references that are needed to judge at all.
        base_margin: How much its error on the base set may be larger, as a share.
        least_colourfulness: Over the truth's, on each set: a guard against grey, no more.
        most_colourfulness: The same, against neon.
    """

    least_pictures: int
    base_margin: float = 0.01
    least_colourfulness: float = 0.4
    most_colourfulness: float = 1.6


@dataclass(frozen=True)
class Check:
    """One question that was asked, and the answer in words."""

    passed: bool
    words: str


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    set: str  #: "held out" (references) or "base"
    row: str
    pictures: int
    ciede2000: float
    colourfulness: float
    likeness: float  #: MS-SSIM of a*b*
    difference: PairedDifference | None  #: to the champion's ΔE₀₀; below 0 is better


@dataclass(frozen=True)
class Judgement:
    """Whether the evidence is for a promotion, and all of the evidence."""

    checks: tuple[Check, ...]
    table: tuple[Row, ...]

    @property
    def for_promotion(self) -> bool:
        """Whether every question has the right answer."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def why(self) -> str:
        """The reasons: what spoke against it, or what spoke for it."""
        against = [check.words for check in self.checks if not check.passed]
        return "; ".join(against or [check.words for check in self.checks])


def measure(
    champion: Checkpoint, challenger: Checkpoint, photographs: Iterable[Photograph], *, device: str
) -> Scores:
    """Colour every picture by both from plain grey, and compare with the truth."""
    contestants = [
        Contestant(label, Colorizer(checkpoint, device=device))
        for label, checkpoint in ((CHAMPION, champion), (CHALLENGER, challenger))
    ]
    measurer = Measurer(contestants, weights=None, film=False)
    remaining = iter(photographs)
    while together := list(itertools.islice(remaining, _TOGETHER)):
        measurer.add(together)
    figures: dict[str, list[Mapping[str, float]]] = {}
    for one in measurer.evidence.measurements:
        figures.setdefault(one.row, []).append(one.figures)
    return Scores(
        {row: tuple(f["ciede2000"] for f in of_row) for row, of_row in figures.items()},
        {row: _colourfulness(of_row) for row, of_row in figures.items()},
        {row: tuple(f["ms_ssim"] for f in of_row) for row, of_row in figures.items()},
    )


def judge(references: Scores | None, base: Scores | None, rules: Rules) -> Judgement:
    """Decide. What is missing speaks against a promotion: nothing is promoted by default.

    Args:
        references: On the references held out; None where there are no scores.
        base: On the base set; None where there are no scores.
        rules: What must be shown.
    """
    checks = [
        _is_whole("the references held out", references, rules.least_pictures),
        _is_whole("the base photographs", base, 2),
    ]
    if references is None or base is None or not all(check.passed for check in checks):
        return Judgement(tuple(check for check in checks if not check.passed), ())
    sets = {"references held out": references, "base photographs": base}
    checks = [_is_better(references), _is_no_worse(base, rules)]
    checks += [_is_as_alike(name, scores) for name, scores in sets.items()]
    checks += [_is_colourful(name, scores, rules) for name, scores in sets.items()]
    table = [*_rows("held out", references), *_rows("base", base)]
    return Judgement(tuple(checks), tuple(table))


def difference(scores: Scores) -> PairedDifference:
    """How much larger the challenger's ΔE₀₀ is than the champion's, by paired bootstrap."""
    return paired_bootstrap(scores.errors[CHAMPION], scores.errors[CHALLENGER])


def _is_whole(name: str, scores: Scores | None, least: int) -> Check:
    if scores is None:
        return Check(passed=False, words=f"there are no scores on {name}")
    champion, challenger = (scores.errors.get(row, ()) for row in (CHAMPION, CHALLENGER))
    if not champion or len(champion) != len(challenger):
        return Check(passed=False, words=f"champion or challenger has no score on some of {name}")
    alike = [value for row in (CHAMPION, CHALLENGER) for value in scores.likeness.get(row, ())]
    if len(alike) != 2 * len(champion):
        return Check(passed=False, words=f"the likeness of some of {name} was not measured")
    values = [*champion, *challenger, *alike, *scores.colourfulness.values()]
    if not all(math.isfinite(value) for value in values):
        return Check(passed=False, words=f"a score on {name} is not a number")
    enough = len(champion) >= least
    return Check(enough, f"{len(champion)} of {name} were scored, and {least} are needed")


def _is_better(scores: Scores) -> Check:
    found = difference(scores)
    words = (
        f"on the references held out its ΔE₀₀ is {_change(scores)} ({found.mean:+.2f}, 95 % "
        f"interval {found.low:+.2f} to {found.high:+.2f})"
    )
    is_better = found.high < 0
    return Check(is_better, words if is_better else f"{words}: not surely better")


def _is_no_worse(scores: Scores, rules: Rules) -> Check:
    found, mean = difference(scores), _mean(scores.errors[CHAMPION])
    share = found.high / mean
    is_no_worse = share <= rules.base_margin
    words = (
        f"on the base photographs its ΔE₀₀ is {_change(scores)}, at most {share:+.1%} (95 %), and "
        f"{rules.base_margin:.1%} are allowed"
    )
    return Check(is_no_worse, words if is_no_worse else f"{words}: it may have forgotten")


def _is_as_alike(name: str, scores: Scores) -> Check:
    """Whether colours are structured as the truth's no less than the champion's, as people see."""
    found = paired_bootstrap(scores.likeness[CHAMPION], scores.likeness[CHALLENGER])
    words = (
        f"on the {name} its MS-SSIM of a*b* is {_mean(scores.likeness[CHALLENGER]):.3f} "
        f"({found.mean:+.4f}, 95 % interval {found.low:+.4f} to {found.high:+.4f})"
    )
    is_as_alike = found.high >= 0
    return Check(is_as_alike, words if is_as_alike else f"{words}: surely less like the truth")


def _is_colourful(name: str, scores: Scores, rules: Rules) -> Check:
    ratio, least, most = (
        scores.colourfulness[CHALLENGER],
        rules.least_colourfulness,
        rules.most_colourfulness,
    )
    words = f"on the {name} it is {ratio:.2f} as colourful as the truth"
    is_within = least <= ratio <= most
    return Check(is_within, words if is_within else f"{words}, outside {least:g} to {most:g}")


def _rows(name: str, scores: Scores) -> Sequence[Row]:
    rows = (GREY, CHAMPION, CHALLENGER)
    return [
        Row(
            set=name,
            row=row,
            pictures=len(scores.errors[row]),
            ciede2000=_mean(scores.errors[row]),
            colourfulness=scores.colourfulness[row],
            likeness=_mean(scores.likeness[row]),
            difference=difference(scores) if row == CHALLENGER else None,
        )
        for row in rows
        if row in scores.errors
    ]


def _change(scores: Scores) -> str:
    before, after = (_mean(scores.errors[row]) for row in (CHAMPION, CHALLENGER))
    share = after / before - 1
    return f"{abs(share):.1%} {'smaller' if share < 0 else 'larger'}"


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _colourfulness(figures: Sequence[Mapping[str, float]]) -> float:
    truth = _mean([f["true_colourfulness"] for f in figures])
    return _mean([f["colourfulness"] for f in figures]) / truth if truth else math.nan
