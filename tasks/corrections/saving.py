"""Saving what a person says of a scan's colours, and having the scan coloured by it."""

from collections.abc import Sequence

from colormodel.correction import Correction
from tasks.batch.recipe import recipe_in_service
from tasks.errors import UsageError
from tasks.ledger import Ledger, corrections, enqueue, orders
from tasks.ledger.corrections import CorrectedMeanwhile, NewCorrection
from tasks.ledger.orders import Order, OrderKind, OrderMode, OrderRow, Scope
from tasks.ledger.records import CorrectionRow
from tasks.orders.planning import make_order, plan_order
from tasks.settings import Settings

#: Scans that one order takes, and that a look at what waits for one lists, at most.
_MOST = 500


def save_correction(  # noqa: PLR0913 - two of them have defaults
    ledger: Ledger,
    uri: str,
    correction: Correction,
    *,
    who: str,
    note: str = "",
    seen: int | None = None,
    frame: int | None = None,
) -> CorrectionRow:
    """Put on record what a person says of a scan; `order_corrected` then has it coloured.

    Args:
        ledger: Where the scan is.
        uri: Of the scan, which was read before.
        correction: What is said.
        who: Says it.
        note: In words; may be empty.
        seen: The correction that the person went on from, 0 for none; None: whatever stands.
        frame: Of a film: which frame is meant, from 0.

    Raises:
        UsageError: It says nothing, or the scan is not known, or was never read.
        CorrectedMeanwhile: Somebody else has corrected the scan since.
    """
    if correction.is_empty:
        raise UsageError(
            "this says nothing: no hint, no mask, strength 1; to go back to the network's own "
            "colours, `autochrome correct URI --withdraw`"
        )
    if frame is not None and any(mask.kind == "keep" for mask in correction.masks):
        raise UsageError("of a film no colours are kept: paint what is to stay grey as that")
    new = NewCorrection(uri, correction.as_json(), who=who, note=note, seen=seen, frame=frame)
    return corrections.correct(ledger, new)


def withdraw_correction(  # noqa: PLR0913 - two of them have defaults
    ledger: Ledger,
    uri: str,
    *,
    who: str,
    why: str,
    seen: int | None = None,
    frame: int | None = None,
) -> CorrectionRow:
    """Take the latest correction of a scan back; the one before counts again, if there is one.

    Args:
        ledger: Where the scan is.
        uri: Of the scan.
        who: Takes it back.
        why: In words; may be empty.
        seen: The correction that the person means; None: whichever counts.
        frame: Of a film: the frame that it is about; None: whichever was corrected last.

    Raises:
        UsageError: There is none.
        CorrectedMeanwhile: Another counts by now.
    """
    scan = ledger.get_story(uri).scan
    rows = corrections.of_bytes(ledger, scan.sha256, scan.page)
    counts = corrections.of_frames(rows, rows[-1].id) if rows and scan.frames is not None else {}
    if frame is None and counts:
        frame = max(counts.values(), key=lambda row: row.id).frame
    standing = corrections.counting(rows, frame) if counts or scan.frames is None else None
    if standing is None:
        raise UsageError(f"{uri}: nobody has corrected it, or all of that is withdrawn")
    if seen is not None and seen != standing.id:
        raise CorrectedMeanwhile(standing)
    return corrections.withdraw(ledger, standing.id, who=who, why=why)


def list_waiting(settings: Settings, ledger: Ledger) -> list[str]:
    """Scans that were corrected since they were coloured by the recipe in service."""
    recipe_id = orders.find_recipe(ledger, recipe_in_service(settings, ledger).digest)
    return enqueue.list_corrected(ledger, recipe_id, limit=_MOST)


def order_corrected(
    settings: Settings, ledger: Ledger, uris: Sequence[str], *, who: str, why: str = ""
) -> OrderRow:
    """Order scans to be coloured by what was said of them: one order, planned, for any worker.

    Raises:
        UsageError: One is not known.
    """
    order = Order(
        OrderMode.CORRECTED, Scope(uris=tuple(uris)), who=who, why=why, kind=OrderKind.REQUEST
    )
    row = make_order(settings, ledger, order, name=f"corrections by {who}")
    row = plan_order(ledger, row.id)
    return row if row.items else orders.settle(ledger, row.id)  # nobody would end it
