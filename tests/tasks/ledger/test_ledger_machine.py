"""Whatever workers and people do in whatever order, the ledger does what a simple model does."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tasks.errors import Reason
from tasks.ledger import Claim, ItemFilter, Ledger, Outcome, Recipe
from tasks.schema import ItemStatus
from tests.orders import claim_batch, enqueue
from tests.outcomes import outcome_for
from tests.tasks.ledger.building import check_tallies, done, keys, listing

ITEMS = 8
MAX_ATTEMPTS = 3
_numbers: Iterator[int] = count()


@dataclass
class ModelItem:
    """What the ledger should say of an item."""

    status: ItemStatus = ItemStatus.PENDING
    attempts: int = 0
    alone: bool = False
    warned: bool = False  # someone else may have stored its derivative
    is_held: bool = False
    is_refused: bool = False  # a person turned it down, and none has approved it since
    was: ItemStatus = ItemStatus.PENDING  # before it was held


@dataclass
class ModelClaim:
    """A batch that some worker believes to hold."""

    claim: Claim
    worker: str
    alive: bool = True  # its lease has not run out
    held: set[int] = field(default_factory=set)
    is_open: bool = True  # its worker has not been told yet that it holds nothing


class LedgerMachine(RuleBasedStateMachine):
    """Claims, expiries, outcomes and decisions, in any order, checked against the model."""

    ledger: Ledger  # set by the test

    @initialize()
    def begin(self) -> None:
        """Each example has a source, a collection and a recipe of its own."""
        name = f"example-{next(_numbers)}"
        source = f"s3://{name}"
        self.ledger.record_listing(source, listing(keys(ITEMS)), collection=name)
        self.recipe_id = self.ledger.ensure_recipe(Recipe(name, {}))
        assert enqueue(self.ledger, self.recipe_id, collections=[name]) == ITEMS
        self.mine = ItemFilter(recipe_id=self.recipe_id)
        rows = self.ledger.list_items(self.mine, limit=99)
        self.items = {row.id: ModelItem() for row in rows}
        self.claims: list[ModelClaim] = []

    def _pending(self, *, alone: bool) -> set[int]:
        return {
            item_id
            for item_id, one in self.items.items()
            if one.status is ItemStatus.PENDING and one.alone is alone
        }

    def _sweep(self) -> None:
        for claim in self.claims:
            if claim.alive:
                continue
            for item_id in claim.held:
                one = self.items[item_id]
                used_up = one.attempts >= MAX_ATTEMPTS
                one.status = ItemStatus.QUARANTINED if used_up else ItemStatus.PENDING
                one.alone = True
            claim.held.clear()

    @rule(limit=st.integers(1, ITEMS))
    def claim(self, limit: int) -> None:
        """One suspect alone, or as many others as are wanted and there."""
        worker = f"worker-{next(_numbers)}"
        found = claim_batch(
            self.ledger,
            self.recipe_id,
            worker=worker,
            limit=limit,
            lease_s=600,
            max_attempts=MAX_ATTEMPTS,
        )
        self._sweep()
        suspects, others = self._pending(alone=True), self._pending(alone=False)
        claimed = {one.id for one in found.items} if found else set()
        if suspects:
            assert len(claimed) == 1
            assert claimed <= suspects
        else:
            assert len(claimed) == min(limit, len(others))
            assert claimed <= others
        if found is None:
            return
        for one in found.items:
            self.items[one.id].status = ItemStatus.CLAIMED
            self.items[one.id].attempts += 1
            self.items[one.id].warned = False
            assert one.attempt == self.items[one.id].attempts
        self.claims.append(ModelClaim(found, worker, held=set(claimed)))

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        """Some items of some batch, alive or not, one's own or another's."""
        claim = data.draw(st.sampled_from(self.claims))
        ids = data.draw(st.sets(st.sampled_from(sorted(self.items)), min_size=1))
        endings = st.sampled_from(["review", "published", "blank", "timeout", "gate"])
        outcomes = [_outcome(item_id, data.draw(endings)) for item_id in sorted(ids)]
        accepted = set(self.ledger.finish(claim.claim.token, outcomes))
        assert accepted == (ids & claim.held if claim.alive else set())
        for outcome in outcomes:
            one = self.items[outcome.item_id]
            if outcome.item_id in accepted:
                self._end(one, outcome)
            elif one.status is ItemStatus.CLAIMED and outcome.item_id not in claim.held:
                one.warned |= bool(outcome.derivatives)
        claim.held -= accepted
        claim.is_open &= bool(claim.held)

    @staticmethod
    def _end(one: ModelItem, outcome: Outcome) -> None:
        one.alone = False
        may_pass, one.status = outcome.reason is Reason.TIMEOUT, outcome.status
        if one.warned and outcome.derivatives:
            may_pass, one.status = True, ItemStatus.FAILED
        if may_pass and one.attempts < MAX_ATTEMPTS:
            one.status = ItemStatus.PENDING
        if one.status is ItemStatus.PUBLISHED and one.is_refused:
            one.status = ItemStatus.REVIEW

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        """All that is left of some batch."""
        claim = data.draw(st.sampled_from(self.claims))
        given = claim.held if claim.alive else set()
        assert self.ledger.give_back(claim.claim.token) == len(given)
        for item_id in given:
            self.items[item_id].status = ItemStatus.PENDING
            self.items[item_id].attempts -= 1
        given.clear()
        claim.is_open &= bool(claim.held)

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        """Some worker vanishes."""
        claim = data.draw(st.sampled_from(self.claims))
        was_open = claim.alive and claim.is_open
        assert self.ledger.expire_leases([claim.worker]) == was_open
        claim.alive = False

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        """A heartbeat says how much is still held."""
        claim = data.draw(st.sampled_from(self.claims))
        expected = len(claim.held) if claim.alive else 0
        assert self.ledger.renew(claim.claim.token, lease_s=600) == expected

    @rule(kind=st.sampled_from(["retry", "approve", "reject"]))
    def decide(self, kind: str) -> None:
        """A person moves whatever the decision is for."""
        sources, target = {
            "retry": ({ItemStatus.FAILED}, ItemStatus.PENDING),
            "approve": ({ItemStatus.REVIEW}, ItemStatus.PUBLISHED),
            "reject": ({ItemStatus.REVIEW}, ItemStatus.REJECTED),
        }[kind]
        chosen = [one for one in self.items.values() if one.status in sources]
        assert getattr(self.ledger, kind)(self.mine, who="model", why=kind) == len(chosen)
        for one in chosen:
            one.status = target
            one.is_refused = {"approve": False, "reject": True}.get(kind, one.is_refused)
            if target is ItemStatus.PENDING:
                one.attempts = 0

    @rule()
    def hold(self) -> None:
        """Whatever becomes of them: also what is in work, which is taken from its worker."""
        chosen = [one for one in self.items.values() if not one.is_held]
        assert self.ledger.hold(self.mine, who="model", why="hold") == len(chosen)
        for item_id, one in self.items.items():
            if one.is_held:
                continue
            one.is_held = True
            if one.status is ItemStatus.CLAIMED:
                one.attempts -= 1
            if one.status not in {ItemStatus.SKIPPED, ItemStatus.REJECTED}:
                one.was, one.status = one.status, ItemStatus.HELD
            for claim in self.claims:
                claim.held.discard(item_id)

    @rule()
    def release(self) -> None:
        """What was coloured goes to review, all else is to be coloured."""
        held = [one for one in self.items.values() if one.status is ItemStatus.HELD]
        assert self.ledger.release(self.mine, who="model", why="release") == len(held)
        for one in held:
            one.is_held = False
            one.status = (
                ItemStatus.REVIEW
                if one.was in {ItemStatus.REVIEW, ItemStatus.PUBLISHED}
                else ItemStatus.PENDING
            )
            if one.status is ItemStatus.PENDING:
                one.attempts = 0

    @invariant()
    def agrees(self) -> None:
        """Every item has the model's status and attempts, and the counts are the sums."""
        if not hasattr(self, "items"):
            return
        rows = self.ledger.list_items(self.mine, limit=99)
        found = {row.id: (row.status, row.attempts) for row in rows}
        assert found == {id_: (one.status, one.attempts) for id_, one in self.items.items()}
        by_status: dict[ItemStatus, int] = {}
        for one in self.items.values():
            by_status[one.status] = by_status.get(one.status, 0) + 1
        assert self.ledger.counts(self.recipe_id).items == by_status


def _outcome(item_id: int, ending: str) -> Outcome:
    if ending == "timeout":
        return Outcome(item_id, ItemStatus.FAILED, Reason.TIMEOUT, retry_in_s=0)
    if ending in ("blank", "gate"):
        return outcome_for(item_id, Reason.BLANK if ending == "blank" else Reason.TONE_GATE)
    return done(item_id, ItemStatus(ending), sha256=f"{item_id:064x}")


@pytest.mark.parametrize("examples", [12, pytest.param(300, marks=pytest.mark.slow)])
def test_ledger_does_what_the_model_does(ledger: Ledger, examples: int) -> None:
    """Claim, finish, give back, vanish, renew and decide, in any order."""

    class Machine(LedgerMachine):
        """Over this test's ledger."""

    Machine.ledger = ledger
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=20,
            deadline=None,  # the machine may be busy
            suppress_health_check=list(HealthCheck),
            print_blob=True,
            database=None,
        ),
    )
    check_tallies(ledger)
