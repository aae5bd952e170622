"""The API: the queue, an item, decisions and their undoing, and what others decide meanwhile."""

from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, BackgroundTasks, HTTPException, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import StreamingResponse

from flows.desk.identity import Deciding, Identity, Looking, OpenDesk
from flows.desk.queues import read_queue
from flows.desk.review import undo_own
from flows.desk.views import picture_url, seen_item, shown_file
from tasks.errors import Reason, UsageError
from tasks.ledger import ItemStatus
from tasks.ledger.curating import (
    DecidedMeanwhile,
    DeskItem,
    Judgement,
    Place,
    decide,
    queue,
)
from tasks.ledger.people import Role
from tasks.ledger.records import DecisionRow
from tasks.report.reasons import REASON_HELP
from tasks.scans.descriptive import Descriptive
from tasks.schema import DecisionKind


class Refusal(BaseModel):
    """Why something was not done."""

    detail: str


#: What any route may answer instead.
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Refusal, "description": words}
    for status, words in (
        (400, "The request cannot be read"),
        (401, "Nobody is known to ask"),
        (403, "The role does not suffice, or the form's word is missing"),
        (422, "The request cannot be meant"),
        (503, "The ledger's database does not answer"),
    )
}
router = APIRouter(prefix="/api", tags=["review"], responses=REFUSALS)

_MOST = 100
Number = Annotated[int, Path(ge=1, lt=1 << 60)]
#: Empty means: not said, as forms do.
Share = Annotated[str, Query(pattern=r"^(|0|1|1\.0{0,9}|0?\.[0-9]{1,9}|0\.)$")]
PlaceText = Annotated[str, Query(max_length=2000, pattern=r"^(|[^~]*~[0-9]{1,18})$")]


class Me(BaseModel):
    """Who asks."""

    name: str
    role: Role
    form_token: str = Field(description="For the header X-CSRF-Token of whatever changes something")


class QueueCount(BaseModel):
    """How many wait for a curator, by collection and reason."""

    collection: str
    reason: Reason | None
    items: int


class QueueItem(BaseModel):
    """An item that waits."""

    id: int
    place: str = Field(description="For the parameter `after` or `before`")
    uri: str
    collection: str
    reason: Reason | None
    confidence: float | None
    changed_at: datetime


class QueuePage(BaseModel):
    """A stretch of the queue."""

    items: list[QueueItem]
    waiting: int | None = Field(description="How many there are in all, where that is counted")


class Decision(BaseModel):
    """What was decided about an item."""

    id: int
    kind: DecisionKind
    who: str
    why: str
    at: datetime
    became: ItemStatus | None

    @classmethod
    def of(cls, row: DecisionRow) -> Self:
        """One on record."""
        return cls(
            id=row.id,
            kind=row.kind,
            who=row.who,
            why=row.why,
            at=row.decided_at,
            became=row.became,
        )


class ItemOpinion(BaseModel):
    """What one of two who must agree thinks."""

    who: str
    kind: DecisionKind
    why: str
    at: datetime


class Item(BaseModel):
    """An item."""

    id: int
    uri: str
    title: str = Field(description="What the file calls its subject; may be empty")
    page: int
    collection: str
    status: ItemStatus
    reason: Reason | None
    reason_in_words: str
    remedy: str
    detail: str
    notes: list[str]
    confidence: float | None
    width: int | None
    height: int | None
    bits: int | None
    sha256: str | None
    seen: str = Field(description="To be sent with a decision: it is about what was seen")
    scan: str = Field(description="An image service (IIIF 3, level 1); empty: there is none")
    colour: str = Field(description="The same for the derivative")
    decisions: list[Decision]
    opinions: list[ItemOpinion]


class DecisionRequest(BaseModel):
    """A decision about an item as it was seen."""

    model_config = ConfigDict(strict=True)

    kind: Literal["approve", "reject", "hold"]
    seen: str = Field(max_length=200)
    why: str = Field("", max_length=1000)
    seconds: float | None = Field(None, ge=0, le=86_400, description="How long it was looked at")


class DecisionResult(BaseModel):
    """What became of a decision."""

    decision: int | None = Field(description="None: a second person must want the same")
    status: ItemStatus
    waits_for_another: bool
    differs_from: list[str] = Field(description="Who wants the other, where two must agree")


class DecisionConflict(BaseModel):
    """The item is not what was seen."""

    detail: str
    item: int
    status: ItemStatus
    last: Decision | None


class UndoResult(BaseModel):
    """What was taken back."""

    items: int


def meanwhile(error: DecidedMeanwhile) -> DecisionConflict:
    """Who was faster, as the API says it."""
    last = None if error.last is None else Decision.of(error.last)
    return DecisionConflict(detail=str(error), item=error.item_id, status=error.status, last=last)


@router.get("/me")
def me(visitor: Looking) -> Me:
    """Who asks, and what this browser's forms carry."""
    return Me(name=visitor.name, role=visitor.role, form_token=visitor.form_token)


@router.get("/waiting")
def what_waits(desk: OpenDesk, visitor: Looking) -> list[QueueCount]:
    """How many wait for a curator, by collection and reason."""
    del visitor
    return [
        QueueCount(
            collection=heap.collection,
            reason=Reason(heap.reason) if heap.reason else None,
            items=heap.items,
        )
        for heap in desk.waiting()
    ]


@router.get("/queue", responses={404: {"model": Refusal}})
def what_is_next(  # noqa: PLR0913, PLR0917  the parameters of a URL
    request: Request,
    desk: OpenDesk,
    visitor: Looking,
    collection: str = "",
    reason: Reason | Literal["none", ""] = "",
    least: Share = "",
    most: Share = "",
    night: Annotated[str, Query(pattern="^[0-9]{0,17}$", description="Of a run")] = "",
    what: Literal["", "film", "page"] = "",
    within: Annotated[str, Query(max_length=2000, description="A folder, or a file's pages")] = "",
    order: Literal["", "unsure", "oldest", "newest"] = "",
    after: PlaceText = "",
    before: PlaceText = "",
    limit: Annotated[int, Query(ge=1, le=_MOST)] = 20,
) -> QueuePage:
    """A stretch of the queue, behind a place, or before one: the nearest first then.

    404: There is no such night, nothing is known there, or the place is of another order.
    """
    del collection, reason, least, most, night, what, within, order  # `read_queue` reads them
    try:
        view = read_queue(desk, visitor, request.query_params)
        there = Place.read(after or before) if after or before else None
        rows = queue(
            desk.ledger,
            view.chosen,
            after=there,
            limit=limit,
            backwards=bool(before and not after),
        )
    except UsageError as error:
        raise HTTPException(404, str(error)) from error
    items = [
        QueueItem(
            id=row.id,
            place=str(place),
            uri=row.uri,
            collection=row.collection,
            reason=row.reason,
            confidence=row.confidence,
            changed_at=row.changed_at,
        )
        for place, row in rows
    ]
    return QueuePage(items=items, waiting=view.items)


@router.get("/items/{item_id}", responses={404: {"model": Refusal}})
def an_item(item_id: Number, desk: OpenDesk, visitor: Looking) -> Item:
    """An item, its pictures' addresses, and what was decided about it."""
    return item_told(seen_item(desk, visitor, item_id))


@router.get("/items/{item_id}/said", responses={404: {"model": Refusal}})
def what_the_file_says(item_id: Number, desk: OpenDesk, visitor: Looking) -> Descriptive:
    """What the scan's file says of its subject and its rights; reads the scan if need be."""
    one = seen_item(desk, visitor, item_id)
    file = shown_file(one, "scan")
    if file is None:
        raise HTTPException(404, "the scan holds other bytes by now")
    return desk.pictures.pyramid(file).pyramid.said


@router.post(
    "/items/{item_id}/decision",
    responses={404: {"model": Refusal}, 409: {"model": DecisionConflict}},
)
def decide_about(
    item_id: Number,
    asked: DecisionRequest,
    desk: OpenDesk,
    visitor: Deciding,
    later: BackgroundTasks,
) -> DecisionResult:
    """Approve, reject or hold an item as it was seen. 409: it is not that any more."""
    seen_item(desk, visitor, item_id)
    judged = Judgement(
        item_id,
        DecisionKind(asked.kind),
        visitor.name,
        asked.why.strip(),
        asked.seen,
        asked.seconds,
    )
    made = decide(desk.ledger, judged, must_agree=desk.settings.desk_agreement)
    desk.decided(item_id)
    if judged.kind is DecisionKind.HOLD:
        later.add_task(desk.read_held)
    return DecisionResult(
        decision=made.decision_id,
        status=made.status,
        waits_for_another=made.decision_id is None,
        differs_from=[one.who for one in made.others if one.kind != judged.kind],
    )


@router.post(
    "/items/{item_id}/undo",
    responses={404: {"model": Refusal}, 409: {"model": Refusal}},
)
def undo_about(
    item_id: Number,
    desk: OpenDesk,
    visitor: Deciding,
    decision: Annotated[int, Query(ge=0, lt=1 << 60, description="0: one's opinion")],
) -> UndoResult:
    """Take a decision back: one's own, or anybody's with the role run. 409: others hold it."""
    try:
        return UndoResult(items=undo_own(desk, visitor, decision, item_id=item_id))
    except UsageError as error:
        raise HTTPException(404, str(error)) from error


@router.get("/events", include_in_schema=False)  # it has no end, and OpenAPI no word for that
async def events(request: Request, desk: OpenDesk, visitor: Looking) -> StreamingResponse:
    """What is decided from now on, by whomever, as server-sent events: `decided`, `missed`.

    A browser whose connection was lost says what it heard last, and is told what was since.
    """
    del visitor
    identity: Identity = request.state.identity
    heard = request.headers.get("last-event-id", "")
    after = int(heard) if heard.isascii() and heard.isdigit() and len(heard) < 19 else None
    if desk.news.is_full:
        raise HTTPException(503, "too many browsers listen; load the page again to see news")
    return StreamingResponse(
        desk.news.listen(after=after, is_known=partial(identity.knows, request.scope)),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},
    )


def item_told(one: DeskItem) -> Item:
    """An item as the API tells it."""
    row, scan = one.row, one.scan
    told = REASON_HELP[row.reason] if row.reason else None
    return Item(
        id=row.id,
        uri=row.uri,
        title=scan.title or "",
        page=row.page,
        collection=row.collection,
        status=row.status,
        reason=row.reason,
        reason_in_words=told.means if told else "",
        remedy=told.do if told else "",
        detail=row.detail,
        notes=list(row.notes),
        confidence=row.confidence,
        width=scan.width,
        height=scan.height,
        bits=scan.bits,
        sha256=scan.sha256,
        seen=one.seen,
        scan=picture_url(one, "scan"),
        colour=picture_url(one, "colour"),
        decisions=[Decision.of(made) for made in one.decisions],
        opinions=[
            ItemOpinion(who=said.who, kind=said.kind, why=said.why, at=said.given_at)
            for said in one.opinions
        ],
    )
