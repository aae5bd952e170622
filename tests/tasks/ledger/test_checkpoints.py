"""The registry: which checkpoints there are, and which one is the champion."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks.errors import UsageError
from tasks.ledger import Ledger, Recipe
from tasks.ledger import checkpoints as registry
from tasks.schema import DecisionKind


def register(ledger: Ledger, letter: str) -> registry.CheckpointRow:
    """A checkpoint whose digest is one letter, repeated."""
    return registry.register_checkpoint(
        ledger,
        letter * 64,
        name=f"unet {letter}",
        url=f"s3://models/{letter}.safetensors",
        card={"data": "photographs", "ciede2000": 9.5},
        who="finetune",
    )


def test_checkpoint_is_registered_once(ledger: Ledger) -> None:
    """A second registration changes nothing of the first."""
    first = register(ledger, "a")
    again = registry.register_checkpoint(
        ledger, "a" * 64, name="other", url="elsewhere", card={}, who="someone"
    )
    assert again == first
    assert registry.list_checkpoints(ledger) == [first]
    assert first.card == {"data": "photographs", "ciede2000": 9.5}


def test_champion_moves_with_a_reason(ledger: Ledger) -> None:
    """The history says who made whom champion, why, and in whose place."""
    assert registry.champion_checkpoint(ledger) is None
    first, second = register(ledger, "a"), register(ledger, "b")
    registry.promote(ledger, "aaaa", who="engineer", why="the first")
    assert registry.champion_checkpoint(ledger) == first
    registry.promote(ledger, second.digest, who="finetune", why="won by 0.3")
    assert registry.champion_checkpoint(ledger) == second
    moves = registry.history(ledger)
    assert [(m.kind, m.checkpoint, m.previous, m.who, m.why) for m in moves] == [
        (DecisionKind.PROMOTE, first, None, "engineer", "the first"),
        (DecisionKind.PROMOTE, second, first, "finetune", "won by 0.3"),
    ]


def test_rolling_back_goes_one_champion_back_each_time(ledger: Ledger) -> None:
    """Not to and fro between the last two."""
    for letter in "abc":
        register(ledger, letter)
        registry.promote(ledger, letter * 64, who="engineer", why=letter)
    assert registry.roll_back(ledger, who="curator", why="green faces").digest == "b" * 64
    assert registry.roll_back(ledger, who="curator", why="still").digest == "a" * 64
    champion = registry.champion_checkpoint(ledger)
    assert champion is not None
    assert champion.digest == "a" * 64
    with pytest.raises(UsageError, match="no champion came before"):
        registry.roll_back(ledger, who="curator", why="again")
    assert len(registry.history(ledger)) == 5


def test_what_cannot_be_promoted_is_said(ledger: Ledger) -> None:
    """Unknown, ambiguous, or champion already; the pointer stays."""
    register(ledger, "a")
    registry.register_checkpoint(
        ledger, "a" * 32 + "b" * 32, name="other", url="u", card={}, who="w"
    )
    registry.promote(ledger, "a" * 64, who="engineer", why="the first")
    for digest, said in (
        ("ffff", "no registered checkpoint begins"),
        ("aaaa", "more than one registered checkpoint begins"),
        ("a" * 64, "is the champion already"),
    ):
        with pytest.raises(UsageError, match=said):
            registry.promote(ledger, digest, who="engineer", why="oops")
    assert len(registry.history(ledger)) == 1


def test_promotions_at_once_each_know_what_they_replaced(
    open_ledger: Callable[[], Ledger],
) -> None:
    """The history is one line, without gaps, whoever was faster."""
    ledgers = [open_ledger() for _ in range(4)]
    for letter in "abcd":
        register(ledgers[0], letter)
    with ThreadPoolExecutor(4) as pool:
        list(
            pool.map(
                lambda pair: registry.promote(pair[0], pair[1] * 64, who=pair[1], why="race"),
                zip(ledgers, "abcd", strict=True),
            )
        )
    moves = registry.history(ledgers[0])
    by_previous = {move.previous.id if move.previous else None for move in moves}
    assert len(by_previous) == 4
    champion = registry.champion_checkpoint(ledgers[0])
    assert champion is not None
    assert champion.id not in by_previous


def test_recipes_of_a_checkpoint(ledger: Ledger) -> None:
    """Which settings it was used with."""
    wanted = [ledger.ensure_recipe(Recipe("a" * 64, {"quality": q})) for q in (80, 90)]
    ledger.ensure_recipe(Recipe("b" * 64, {"quality": 80}))
    assert [recipe.id for recipe in registry.recipes_of(ledger, "a" * 64)] == wanted
