"""The story of a scan, for people."""

from flows.cli.talk import stdout
from tasks.ledger import ItemStory
from tasks.ledger.records import ItemHistory, ScanRow
from tasks.ledger.uris import uri_of


def print_story(story: ItemStory) -> None:
    """Print what a scan is and was, and all that happened to its items."""
    _print_scan(story.scan)
    for revision in story.revisions:
        _line(f"was revision {revision.revision} until {revision.replaced_at:%Y-%m-%d %H:%M}", 1)
    for history in story.items:
        _print_history(history)


def _line(text: str, indent: int = 0) -> None:
    stdout.print("  " * indent + text)


def _print_scan(scan: ScanRow) -> None:
    _line(scan.uri)
    size = f"{scan.width} × {scan.height}, {scan.bits} bit" if scan.width else "not read yet"
    _line(f"{size}, {scan.size_bytes:,} bytes, collection {scan.collection}", 1)
    _line(f"sha256 {scan.sha256 or 'not known yet'}, revision {scan.revision}", 1)
    if scan.vanished_at:
        _line(f"not in its source's listing since {scan.vanished_at:%Y-%m-%d %H:%M}", 1)


def _print_history(history: ItemHistory) -> None:
    item, recipe = history.item, history.recipe
    why = f" ({item.reason})" if item.reason else ""
    _line(f"item {item.id}: {item.status}{why}, recipe {recipe.digest[:12]}", 1)
    if item.confidence is not None:
        _line(f"confidence {item.confidence:.2f}", 2)
    for note in item.notes:
        _line(f"note: {note}", 2)
    for attempt in history.attempts:
        ended = attempt.reason or attempt.status
        seconds = f" after {attempt.seconds:.1f} s" if attempt.seconds is not None else ""
        _line(
            f"attempt {attempt.number}, {attempt.claimed_at:%Y-%m-%d %H:%M:%S}: "
            f"{attempt.ending or 'under way'}, {ended}{seconds}, by {attempt.worker}",
            2,
        )
        if attempt.detail:
            _line(attempt.detail, 3)
    for derivative in history.derivatives:
        gate = "" if derivative.max_delta_l is None else f", |ΔL*| ≤ {derivative.max_delta_l:.3f}"
        luma = ", luma identical" if derivative.luma_identical else ""
        _line(f"{derivative.kind}: {uri_of(derivative.store, derivative.key)}{gate}{luma}", 2)
    for decision in history.decisions:
        _line(
            f"{decision.kind} by {decision.who}, {decision.decided_at:%Y-%m-%d %H:%M}: "
            f"{decision.was} → {decision.became}" + (f" ({decision.why})" if decision.why else ""),
            2,
        )
