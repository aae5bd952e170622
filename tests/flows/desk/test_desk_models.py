"""Models: seen with their evidence by all, moved by whoever runs the archive, with a reason."""

import pytest

from flows.desk.models import HEIGHT, WIDTH, curve_of
from tasks.ledger import Ledger
from tasks.ledger.checkpoints import champion_checkpoint, history, promote, register_checkpoint
from tasks.ledger.people import Role
from tasks.ledger.reference_records import TrainingVerdict
from tasks.ledger.references import freeze_set
from tasks.ledger.trainings import begin_training, end_training
from tests.desks import HTML, House

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def digests(house: House) -> tuple[str, str]:
    """A champion, and the challenger of a training that policy did not promote."""
    ledger = house.ledger
    made = [_register(ledger, name) for name in ("a" * 64, "b" * 64)]
    promote(ledger, "a" * 64, who="Rita", why="the first")
    members = freeze_set(ledger, [], who="Rita")
    row = begin_training(ledger, members.id, parent_id=made[0], run_id=None)
    looks = [
        {"step": 0, "references": 14.0, "base": 10.0},
        {"step": 50, "references": 12.0, "base": 10.5},
        {"step": 100, "references": 11.0},
    ]
    figures = {"looks": looks, "checks": [{"passed": False, "words": f"why not {HOSTILE}"}]}
    end_training(
        ledger,
        row.id,
        TrainingVerdict.KEPT,
        why="a person must look: `autochrome promote`",
        figures=figures,
        challenger_id=made[1],
    )
    return "a" * 64, "b" * 64


def _register(ledger: Ledger, digest: str) -> int:
    card = {"description": HOSTILE}
    name = f"net {digest[0]} {HOSTILE}"
    return register_checkpoint(
        ledger, digest, name=name, url="file:///out", card=card, who="Rita"
    ).id


def test_the_evidence_is_shown(house: House, digests: tuple[str, str]) -> None:
    """Champion, challenger, verdict, curve; what is foreign is text."""
    page = house.signed_in("Anna").client.get("/models", headers=HTML).text
    for text in (
        "Training 1: kept",
        "<code>autochrome promote</code>",
        "<polyline",
        *(d[:12] for d in digests),
    ):
        assert text in page
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page
    assert "/models/promote" not in page  # Anna decides about scans, not about networks


def test_a_challenger_is_approved_and_rolled_back(house: House, digests: tuple[str, str]) -> None:
    """With who and why, as by the command line."""
    rita = house.signed_in("Rita", Role.RUN)
    champion, challenger = digests
    assert "Approve the challenger" in rita.client.get("/models", headers=HTML).text
    data = {"csrf": rita.token, "checkpoint": challenger}
    assert rita.client.post("/models/promote", data=data, headers=HTML).status_code == 400
    given = data | {"why": "better skies"}
    assert rita.client.post("/models/promote", data=given, headers=HTML).status_code == 303
    now = champion_checkpoint(house.ledger)
    assert now is not None
    assert now.digest == challenger
    # Whoever looks at an older page does not roll back what he has not seen.
    stale = {"csrf": rita.token, "checkpoint": champion, "why": "no"}
    assert rita.client.post("/models/roll-back", data=stale, headers=HTML).status_code == 400
    back = given | {"why": "worse faces"}
    assert rita.client.post("/models/roll-back", data=back, headers=HTML).status_code == 303
    last = history(house.ledger)[-1]
    assert (last.checkpoint.digest, last.who, last.why) == (champion, "Rita", "worse faces")
    wrong = rita.client.post("/models/promote", data=given | {"checkpoint": ""}, headers=HTML)
    assert wrong.status_code == 400


def test_only_whoever_runs_the_archive_moves_it(house: House, digests: tuple[str, str]) -> None:
    """Not a curator."""
    anna = house.signed_in("Anna")
    for path, digest in (("promote", digests[1]), ("roll-back", digests[0])):
        data = {"csrf": anna.token, "checkpoint": digest, "why": "please"}
        assert anna.client.post(f"/models/{path}", data=data, headers=HTML).status_code == 403


def test_a_curve_lies_in_its_frame() -> None:
    """Each error by its height, however few there are; what cannot be read is left out."""
    looks = [{"step": n * 10, "references": 14.0 - n, "base": 10.0} for n in range(4)]
    curve = curve_of({"looks": [*looks, {"step": None}]})
    assert curve is not None
    assert (curve.low, curve.high, curve.steps) == (10.0, 14.0, 30)
    for points in curve.lines.values():
        for point in points.split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= WIDTH
            assert 0 <= y <= HEIGHT
    assert curve.lines["references"].startswith("0.0,0.0")
    assert curve.lines["base"].endswith(f"{WIDTH}.0,{HEIGHT}.0")
    assert curve_of({}) is None
    assert curve_of({"looks": looks[:1]}) is None
