"""The words that the ledger's rows are in: statuses, endings, kinds of decisions."""

import enum


class ItemStatus(enum.StrEnum):
    """Where an item stands. The comments are the transition table: there are no others."""

    #: Waits to be claimed.
    #: new -> pending (enqueue); failed, quarantined, skipped -> pending (retry);
    #: held -> pending (release); skipped -> pending (the scan is back in its source);
    #: claimed -> pending (to be tried later, given back, lease ran out, or the scan changed);
    #: any ended one -> pending (enqueued again: the scan changed, or by mode);
    #: published, review -> pending (redo, or a late worker wrote over the derivative);
    #: claimed -> pending (a person has corrected the scan meanwhile).
    PENDING = "pending"
    #: A worker holds a lease on it. pending -> claimed.
    CLAIMED = "claimed"
    #: Stored, verified, open to users. claimed -> published; review -> published (approve).
    PUBLISHED = "published"
    #: Stored, verified, waits for a curator. claimed -> review.
    REVIEW = "review"
    #: Not ours to colour, or gone. claimed -> skipped; pending -> skipped (the scan vanished);
    #: pending, failed, quarantined -> skipped (a pattern leaves the scan out).
    SKIPPED = "skipped"
    #: The world or we were at fault, and attempts are used up. claimed -> failed.
    FAILED = "failed"
    #: The scan itself is at fault, or kills its worker. claimed -> quarantined.
    QUARANTINED = "quarantined"
    #: Rights or sensitivity. pending, failed, quarantined -> held;
    #: new -> held (the scan's item under another recipe was held).
    HELD = "held"
    #: Turned down by a curator. review -> rejected.
    REJECTED = "rejected"
    #: Another recipe's item has taken its place.
    #: published, review -> superseded (another recipe's was published);
    #: pending, held -> superseded (the scan was enqueued under another recipe, which takes over).
    SUPERSEDED = "superseded"


class AttemptEnding(enum.StrEnum):
    """How a claim of one item ended."""

    FINISHED = "finished"  #: The worker reported an outcome.
    GIVEN_BACK = "given_back"  #: The worker was asked to stop: not counted.
    EXPIRED = "expired"  #: The lease ran out; nobody knows what became of the worker.
    REVOKED = "revoked"  #: The scan changed, or was corrected, under its hands: not counted.


class ShotStatus(enum.StrEnum):
    """Where a shot of a film stands. The comments are the transition table."""

    #: Waits to be leased. new -> open (found); failed -> open (its item is tried again);
    #: claimed -> open (given back, or to be tried later); done -> open (its segment is gone, or a
    #: curator has turned it down).
    OPEN = "open"
    CLAIMED = "claimed"  #: A worker holds a lease on it. open, claimed (it ran out) -> claimed.
    DONE = "done"  #: Its segment is stored and verified. claimed -> done.
    #: Cannot be coloured, or its attempts are used up: so is its item. claimed -> failed.
    FAILED = "failed"


class ShotVerdict(enum.StrEnum):
    """What a curator said of a shot."""

    APPROVED = "approved"  #: As it is.
    REJECTED = "rejected"  #: It is kept grey from the next making of the reel on.


class FixityOutcome(enum.StrEnum):
    """What an audit found when it read a file again."""

    MATCHED = "matched"  #: The digest is the one on record.
    MISMATCHED = "mismatched"  #: It is another, and nobody changed the file on purpose.
    MISSING = "missing"  #: The file is not there.
    CHANGED = "changed"  #: A source was replaced; the next discovery gives it a new revision.
    UNREADABLE = "unreadable"  #: The store could not give it now; it stays due.

    @property
    def is_damage(self) -> bool:
        """Whether the file on record is lost."""
        return self in (FixityOutcome.MISMATCHED, FixityOutcome.MISSING)


class DecisionKind(enum.StrEnum):
    """What was decided, by a person or by the machinery, about items or the champion."""

    RETRY = "retry"
    HOLD = "hold"
    RELEASE = "release"
    APPROVE = "approve"
    REJECT = "reject"
    SUPERSEDE = "supersede"
    ENQUEUE = "enqueue"  #: Items that had ended were put back to pending.
    SCAN_CHANGED = "scan_changed"
    SCAN_VANISHED = "scan_vanished"
    SCAN_LEFT_OUT = "scan_left_out"  #: A pattern leaves it out of its source's listing.
    SCAN_REAPPEARED = "scan_reappeared"
    SCAN_ARCHIVED = "scan_archived"
    SCAN_RESTORED = "scan_restored"
    UNDO = "undo"  #: A person took a decision back: items are what they were before.
    CORRECT = "correct"  #: A person said what colours are, or took that back.
    SHOT = "shot"  #: A person said something of a shot of a film.
    REDO = "redo"  #: A derivative was found damaged, or is to be made anew.
    OVERWRITTEN = "overwritten"  #: A worker without a lease wrote over an item's derivative.
    PROMOTE = "promote"
    ROLL_BACK = "roll_back"
    ORDER = "order"  #: An order was given; the next four are about one, too.
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    WITHDRAW = "withdraw"  #: It was cancelled: items that were not begun are as they were before.


class OrderKind(enum.StrEnum):
    """Who asks for an order. The kinds differ in nothing but what goes first, and when it ends."""

    NIGHT = "night"  #: The schedule, each night: what is missing, until its deadline.
    REQUEST = "request"  #: A person, now: what is missing.
    RETRY = "retry"  #: The schedule or a person: what failed.
    BACKFILL = "backfill"  #: A person, whenever there is time: a collection, or the archive.

    @property
    def priority(self) -> int:
        """Where it stands in line unless it is told otherwise: higher goes first."""
        return {"night": 1000, "request": 200, "retry": 150, "backfill": 0}[self.value]


class OrderMode(enum.StrEnum):
    """Which scans an order takes. A scan whose file changed always counts as not done yet."""

    #: Scans that no recipe has dealt with as they are now, and what waits for no order.
    MISSING = "missing"
    #: Scans that failed under the recipe in service.
    FAILED = "failed"
    #: Scans whose derivative in use is another recipe's: bring it up to date.
    CHANGED_RECIPE = "changed-recipe"
    #: Scans that a person has corrected, or withdrawn a correction of, since they were coloured.
    CORRECTED = "corrected"
    #: Everything once more, what was skipped or quarantined too; never what is held or rejected.
    ALL = "all"


class OrderState(enum.StrEnum):
    """Where an order stands. The comments are the transition table."""

    #: Its sources are being listed: which scans are there is not known yet. new -> listing.
    LISTING = "listing"
    #: Its scans are being enqueued, window by window.
    #: new -> planning; listing -> planning; paused -> planning (resume).
    PLANNING = "planning"
    #: Its items are being worked on. planning -> running; paused -> running (resume).
    RUNNING = "running"
    #: By a person, or because a budget is spent, or because it cannot go on; its items wait.
    #: listing, planning, running -> paused.
    PAUSED = "paused"
    #: Nothing of it is claimed any more; what is in work ends. Any of the above -> cancelling.
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"  #: cancelling -> cancelled: what was not begun is as it was before.
    COMPLETED = "completed"  #: running -> completed: every item has ended.
    #: Its time is over, or its one process was asked to end: what is left waits for the next order.
    #: Any that is not an end -> stopped.
    STOPPED = "stopped"
    #: It could not go on: too much failed, or nobody could work. What is left waits likewise.
    #: Any that is not an end -> aborted.
    ABORTED = "aborted"
