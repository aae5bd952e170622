"""The judgement: only evidence promotes, and what is missing speaks against it."""

import dataclasses
import math

import numpy as np
import pytest

from tasks.finetune.judging import CHALLENGER, CHAMPION, Judgement, Rules, Scores, judge

RULES = Rules(least_pictures=12, base_margin=0.01, least_colourfulness=0.4, most_colourfulness=1.6)


def scores(
    champion: float,
    challenger: float,
    *,
    count: int = 40,
    colourful: float = 0.8,
    alike: float = 0.002,
) -> Scores:
    """Errors that differ by about that much, picture by picture, with the noise of real ones."""
    draw = np.random.default_rng(7)
    errors = champion + draw.normal(0, 3, count)
    change = challenger - champion + draw.normal(0, 0.3, count)
    likeness = 0.85 + draw.normal(0, 0.05, count)
    more = alike + draw.normal(0, 0.005, count)
    return Scores(
        {CHAMPION: tuple(errors), CHALLENGER: tuple(errors + change)},
        {CHAMPION: 0.75, CHALLENGER: colourful},
        {CHAMPION: tuple(likeness), CHALLENGER: tuple(likeness + more)},
    )


def test_better_on_references_and_no_worse_on_the_base_set_is_promoted() -> None:
    """With every reason told."""
    judgement = judge(scores(14.0, 12.0), scores(9.7, 9.7, count=400), RULES)
    assert judgement.for_promotion
    assert "on the references held out its ΔE₀₀ is 15.5% smaller (-1.99" in judgement.why
    assert len(judgement.checks) == 6
    assert [row.row for row in judgement.table] == [CHAMPION, CHALLENGER] * 2


@pytest.mark.parametrize(
    ("references", "base", "said"),
    [
        (scores(14.0, 14.0), scores(9.7, 9.7), "not surely better"),
        (scores(14.0, 15.0), scores(9.7, 9.7), "not surely better"),
        (scores(14.0, 12.0), scores(9.7, 10.0, count=400), "may have forgotten"),
        (scores(14.0, 12.0, colourful=0.2), scores(9.7, 9.7), "outside 0.4 to 1.6"),
        (scores(14.0, 12.0), scores(9.7, 9.7, colourful=2.0), "outside 0.4 to 1.6"),
        (scores(14.0, 12.0, alike=-0.01), scores(9.7, 9.7), "surely less like the truth"),
        (scores(14.0, 12.0), scores(9.7, 9.7, alike=-0.01), "surely less like the truth"),
        (scores(14.0, 12.0, count=11), scores(9.7, 9.7), "12 are needed"),
        (scores(14.0, math.nan), scores(9.7, 9.7), "not a number"),
        (None, scores(9.7, 9.7), "no scores on the references"),
        (scores(14.0, 12.0), None, "no scores on the base"),
        (
            dataclasses.replace(scores(14.0, 12.0), likeness={}),
            scores(9.7, 9.7),
            "likeness of some of the references held out was not measured",
        ),
        (
            Scores({CHALLENGER: (1.0,) * 40}, {CHALLENGER: 0.8}, {}),
            scores(9.7, 9.7),
            "champion or challenger has no score",
        ),
    ],
)
def test_anything_less_is_kept_and_explained(
    references: Scores | None, base: Scores | None, said: str
) -> None:
    """No champion, a missing score, too few pictures, worse, forgotten, washed out, garish."""
    judgement = judge(references, base, RULES)
    assert not judgement.for_promotion
    assert said in judgement.why


def test_no_questions_asked_is_no_evidence() -> None:
    """An empty judgement never promotes."""
    assert not Judgement((), ()).for_promotion


def test_a_gain_that_could_be_chance_is_not_enough() -> None:
    """Better by a little on the mean, with pictures that go both ways."""
    draw = np.random.default_rng(1)
    errors = draw.normal(14, 3, 25)
    noisy = Scores(
        {CHAMPION: tuple(errors), CHALLENGER: tuple(errors + draw.normal(-0.2, 2, 25))},
        {CHAMPION: 0.75, CHALLENGER: 0.8},
        {CHAMPION: (0.85,) * 25, CHALLENGER: (0.85,) * 25},
    )
    assert not judge(noisy, scores(9.7, 9.7, count=400), RULES).for_promotion
