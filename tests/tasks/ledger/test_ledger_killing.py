"""Killed at any moment, workers lose nothing and do nothing twice."""

from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import func, select

from tasks.ledger import Ledger
from tasks.schema import AttemptEnding, attempt, derivative, item
from tests.tasks.ledger.building import enqueued, statuses
from tests.tasks.ledger.killing import Work, kill_at_random


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("items", "kills"), [(400, 20), pytest.param(4000, 400, marks=pytest.mark.slow)]
)
def test_killed_workers_end_every_item_once(
    ledger: Ledger, ledger_url: str, tmp_path: Path, items: int, kills: int
) -> None:
    """SIGKILL at random moments: each item ends once, and each attempt is on record."""
    recipe_id = enqueued(ledger, items)
    todo = Work(ledger_url, recipe_id, tmp_path / "accepted")
    kill_at_random(todo, kills=kills, workers=3)
    assert statuses(ledger, recipe_id) == {"review": items}
    # A worker may be killed between the ledger's yes and its own note of it, never note it twice.
    noted = Counter(todo.accepted.read_text().split())
    assert max(noted.values()) == 1
    assert items - len(noted) <= kills * todo.limit
    endings, attempts, derivatives = ledger.read(
        lambda c: (
            dict(
                c.execute(
                    select(attempt.c.ending, func.count(attempt.c.item_id.distinct())).group_by(
                        attempt.c.ending
                    )
                ).all()
            ),
            c.execute(
                select(item.c.id, item.c.attempts, func.count(attempt.c.id))
                .join(attempt, attempt.c.item_id == item.c.id)
                .group_by(item.c.id, item.c.attempts)
            ).all(),
            c.execute(select(func.count()).select_from(derivative)).scalar_one(),
        )
    )
    assert endings[AttemptEnding.FINISHED] == derivatives == len(attempts) == items
    assert set(endings) <= {AttemptEnding.FINISHED, AttemptEnding.EXPIRED}
    assert all(counted == recorded for _, counted, recorded in attempts)
    finished = ledger.read(
        lambda c: c.execute(
            select(func.count())
            .select_from(attempt)
            .where(attempt.c.ending == AttemptEnding.FINISHED)
        ).scalar_one()
    )
    assert finished == items
    assert ledger.open_workers() == set()
