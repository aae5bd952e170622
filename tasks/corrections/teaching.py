"""Teaching: a corrected picture becomes a reference, marked as corrected, not as evidence."""

from collections.abc import Sequence

from tasks.errors import UsageError
from tasks.ledger import ItemStatus, Ledger
from tasks.ledger.records import DerivativeRow, ItemHistory, ItemStory
from tasks.ledger.reference_records import Certainty, Description, ReferenceKind
from tasks.provenance.corrections import corrected
from tasks.references.adding import Answer, Delivery, add_references
from tasks.references.finding import Found
from tasks.settings import Settings
from tasks.storage import open_for_reading

_IN_USE = (ItemStatus.PUBLISHED, ItemStatus.REVIEW)


def teach(settings: Settings, ledger: Ledger, uri: str, *, who: str, note: str = "") -> Answer:
    """Make a reference of a scan as a person has corrected it; taught before, it is replaced.

    It is for training alone: what a network guessed and a person guided is no evidence of the
    colours that were there, and no challenger is judged by it.

    Args:
        settings: Where things are.
        ledger: What is known of the scan.
        uri: The scan's.
        who: Teaches it.
        note: In words; may be empty.

    Returns:
        The reference's number, or why it is none.

    Raises:
        UsageError: The scan has no derivative that was made with a correction.
        AutochromeError: A store, the database or the champion cannot be used.
    """
    story = ledger.get_story(uri)
    if story.scan.frames is not None:
        raise UsageError(f"{uri} is a film: a network learns from single pictures alone")
    history, derivative = _corrected_derivative(story)
    said = next(one for one in story.corrections if one.id == derivative.correction_id)
    words = f"coloured by {corrected(said).in_words()}"
    described = Description(
        kind=ReferenceKind.CORRECTION,
        certainty=Certainty.DOUBTFUL,
        curator=said.who,
        note="; ".join(filter(None, (words, said.note, note))),
        corrects=str(history.item.id),
    )
    store = open_for_reading(derivative.store, settings=settings)
    origin = f"{derivative.store.rstrip('/')}/{derivative.key}"
    found = Found(origin, described, store=store, key=derivative.key)
    delivery = Delivery([found], history.item.collection, who)
    (answer,) = add_references(settings, ledger, delivery)
    return answer


def _corrected_derivative(story: ItemStory) -> tuple[ItemHistory, DerivativeRow]:
    """The latest item in use whose derivative a person has corrected; its smaller file, if any."""
    for history in reversed(story.items):
        made_with = history.item.correction_id
        if history.item.status not in _IN_USE or not made_with:
            continue
        files = {one.kind: one for one in _in_use(history.derivatives, history)}
        chosen = files.get("access") or files.get("master")
        if chosen is not None:
            return history, chosen
    raise UsageError(
        f"{story.scan.uri}: no derivative in use was made with a correction; correct it, and teach "
        "it once it is coloured"
    )


def _in_use(derivatives: Sequence[DerivativeRow], history: ItemHistory) -> list[DerivativeRow]:
    item = history.item
    return [
        one
        for one in derivatives
        if (one.correction_id, one.revision) == (item.correction_id, item.revision)
    ]
