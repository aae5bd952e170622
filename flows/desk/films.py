"""Films: played before and after, and judged shot by shot; all of it without scripts, too."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Path, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import RedirectResponse, Response

from flows.desk.api import REFUSALS, Number, Refusal
from flows.desk.identity import Deciding, Form, Looking, OpenDesk
from flows.desk.outputs import send_file
from flows.desk.review import number_in, reasons_in
from flows.desk.views import seen_item
from tasks.errors import UsageError
from tasks.ledger.curating import ShotJudgement, judge_shot, make_anew
from tasks.schema import ShotVerdict
from tasks.storage import open_for_reading

router = APIRouter(include_in_schema=False)
api = APIRouter(prefix="/api", tags=["review"], responses=REFUSALS)

ShotNumber = Annotated[int, Path(ge=1, lt=1 << 31)]


class ShotJudgementRequest(BaseModel):
    """What is said of a shot, of a film as it was seen."""

    model_config = ConfigDict(strict=True)

    verdict: str = Field(pattern="^(approved|rejected|)$", description="Empty: nothing any more")
    seen: str = Field(max_length=200)
    why: str = Field("", max_length=1000)


class ShotJudgementResult(BaseModel):
    """What became of it."""

    decision: int
    to_be_made_anew: list[int] = Field(description="Shots that are not yet as was said")


@router.get("/items/{item_id}/film.mp4")
def film(request: Request, item_id: Number, desk: OpenDesk, visitor: Looking) -> Response:
    """The access copy of a film, or the part that a player asks for."""
    made = seen_item(desk, visitor, item_id, fresh=False).derivative("access")
    if made is None or made.content_type != "video/mp4":
        raise HTTPException(404, "this item has no film that a browser plays")
    output = open_for_reading(made.store, settings=desk.settings)
    return send_file(output, made.key, request)


@router.get("/items/{item_id}/shots/{number}.jpg")
def poster(
    request: Request, item_id: Number, number: ShotNumber, desk: OpenDesk, visitor: Looking
) -> Response:
    """A picture of a shot, before and after side by side."""
    one = seen_item(desk, visitor, item_id, fresh=False)
    keys = {shot.number: shot.poster_key for shot in one.shots}
    key, made = keys.get(number), one.derivative("poster")
    if key is None:
        raise HTTPException(404, "there is no picture of this shot")
    output = desk.output
    if made is not None and made.store != output.url:
        output = open_for_reading(made.store, settings=desk.settings)
    return send_file(output, key, request)


@router.post("/items/{item_id}/shots")
def judge_by_form(item_id: Number, desk: OpenDesk, visitor: Deciding, form: Form) -> Response:
    """Say something of a shot by the form of the page, and come back to it."""
    seen_item(desk, visitor, item_id)
    number = number_in(form, "shot")
    judge_shot(
        desk.ledger,
        ShotJudgement(
            item_id,
            number,
            _verdict(form.get("verdict", "")),
            visitor.name,
            reasons_in(form),
            form.get("seen", ""),
        ),
    )
    desk.decided(item_id)
    return _back(form, item_id, f"#shot-{number}")


@router.post("/items/{item_id}/anew")
def make_anew_by_form(item_id: Number, desk: OpenDesk, visitor: Deciding, form: Form) -> Response:
    """Have the film made anew, as was said of its shots."""
    seen_item(desk, visitor, item_id)
    make_anew(desk.ledger, item_id, who=visitor.name, seen=form.get("seen", ""))
    desk.decided(item_id)
    return _back(form, item_id, "")


@api.post("/items/{item_id}/shots/{number}", responses={404: {"model": Refusal}})
def judge(
    item_id: Number,
    number: ShotNumber,
    said: ShotJudgementRequest,
    desk: OpenDesk,
    visitor: Deciding,
) -> ShotJudgementResult:
    """Say of a shot of a film that it is good, or is to be kept grey."""
    one = seen_item(desk, visitor, item_id)
    if number not in {shot.number for shot in one.shots}:
        raise HTTPException(404, f"item {item_id} has no shot {number}")
    judged = ShotJudgement(
        item_id, number, _verdict(said.verdict), visitor.name, said.why.strip(), said.seen
    )
    decision = judge_shot(desk.ledger, judged)
    desk.decided(item_id)
    now = seen_item(desk, visitor, item_id)
    anew = [shot.number for shot in now.shots if shot.is_to_be_made_anew]
    return ShotJudgementResult(decision=decision, to_be_made_anew=anew)


def _verdict(word: str) -> ShotVerdict | None:
    try:
        return ShotVerdict(word) if word else None
    except ValueError:
        raise UsageError("what of the shot? approved or rejected") from None


def _back(form: Form, item_id: int, anchor: str) -> Response:
    if form.get("page") == "review":
        return RedirectResponse(f"/review?{urlencode({'item': item_id})}{anchor}", 303)
    return RedirectResponse(f"/items/{item_id}{anchor}", 303)
