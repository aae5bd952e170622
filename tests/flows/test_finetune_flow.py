"""The `finetune` flow against Prefect's own API, its form answered as the UI does."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from prefect.artifacts import Artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun

from flows import finetune as module
from flows.finetune import finetune
from tasks.ledger.checkpoints import champion_checkpoint
from tasks.ledger.opening import open_ledger
from tasks.ledger.reference_records import TrainingRow, TrainingVerdict
from tasks.ledger.trainings import list_trainings
from tasks.settings import Settings, settings_in_force
from tests.schools import School

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("prefect_api"),
]


@pytest.fixture(autouse=True)
def ask_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer is seen at once."""
    monkeypatch.setattr(module, "ASK_EVERY_S", 0.2)


def last_runs() -> list[FlowRun]:
    """The newest flow run, as the UI shows it, if there is any."""
    with get_client(sync_client=True) as client:
        return client.read_flow_runs(limit=1, sort="EXPECTED_START_TIME_DESC")  # type: ignore[arg-type]


def last_run() -> FlowRun:
    """The same where there is one."""
    (run,) = last_runs()
    return run


def last_training(settings: Settings) -> TrainingRow:
    """What the ledger has of it."""
    with open_ledger(settings) as ledger:
        return list_trainings(ledger, limit=1)[0]


@contextmanager
def answering(answer: dict[str, str]) -> Iterator[None]:
    """Answer the form as soon as a run is paused."""
    is_over = threading.Event()

    def answer_once() -> None:
        with get_client(sync_client=True) as client:
            while not is_over.wait(0.2):
                for run in last_runs():  # none before the first of a server has begun
                    if run.state is not None and run.state.is_paused():
                        client.resume_flow_run(run.id, run_input=answer)
                        return

    with ThreadPoolExecutor(1) as pool:
        pool.submit(answer_once)
        try:
            yield
        finally:
            is_over.set()


def test_a_challenger_that_wins_takes_over_and_the_ui_shows_why(school: School) -> None:
    """Judgement, curves and pictures as artifacts; the state's message is the reason."""
    settings = school()
    with settings_in_force(settings):
        finetune()
    run = last_run()
    assert run.state is not None
    assert (run.state.name, run.state.is_completed()) == ("Promoted", True)
    assert "finetune" in run.tags
    shown = {key: Artifact.get(key) for key in ("finetune", "loss-curves", "examples")}
    assert all(shown.values())
    assert "| held out | challenger |" in str(shown["finetune"].data)  # type: ignore[union-attr]
    assert str(shown["loss-curves"].data).startswith("data:image/svg+xml;base64,")  # type: ignore[union-attr]
    progress = Artifact.get("finetune-progress")
    assert progress is not None
    assert float(str(progress.data)) == 100.0
    with settings_in_force(settings):
        finetune()
    again = last_run()
    assert again.state is not None
    assert again.state.name == "Skipped"
    assert "references for training are new" in str(again.state.message)
    with open_ledger(settings) as ledger:
        assert [one.detail.partition(":")[0] for one in ledger.list_runs()] == [
            "skipped", "promoted"
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("decision", "verdict"),
    [
        ("promote the challenger", TrainingVerdict.PROMOTED),
        ("keep the champion", TrainingVerdict.KEPT),
    ],
)
def test_a_person_decides_in_the_form(
    trained_school: School, decision: str, verdict: TrainingVerdict
) -> None:
    """Name and reason are on record, and the pointer moves or stays."""
    settings = trained_school(finetune_approval=True)
    with (
        settings_in_force(settings),
        answering({"decision": decision, "who": "Mme B", "why": "the skies"}),
    ):
        finetune()
    training = last_training(settings)
    assert training.verdict is verdict
    assert "approved by Mme B (the skies)" in training.why
    with open_ledger(settings) as ledger:
        champion = champion_checkpoint(ledger)
    assert champion is not None
    promoted = verdict is TrainingVerdict.PROMOTED
    assert champion.digest == (training.challenger if promoted else training.parent)


def test_without_an_answer_the_champion_stays(trained_school: School) -> None:
    """The run completes: nothing failed."""
    settings = trained_school(finetune_approval=True, finetune_approval_hours=2 / 3600)
    with settings_in_force(settings):
        finetune()
    training = last_training(settings)
    assert training.verdict is TrainingVerdict.KEPT
    assert "not approved by nobody (no answer within" in training.why
    run = last_run()
    assert run.state is not None
    assert (run.state.name, run.state.is_completed()) == ("Kept", True)
