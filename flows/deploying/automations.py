"""Automations: what the server does by itself when runs are lost or fail."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.notifications import CustomWebhookNotificationBlock, SlackWebhook
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.types import SecretDict
from pydantic import SecretStr

from tasks.settings import Settings

#: A run says every 30 s that it lives (deploy/prefect.yaml); after four silent ones it is lost.
LOST_AFTER_S = 120

#: Of one flow, failures within this time are told once.
TOLD_ONCE_IN_S = 900

LOST_RUNS = "Autochrome: mark runs as crashed whose worker is lost"
TELL_BY_WEBHOOK = "Autochrome: tell of failed runs by webhook"
TELL_BY_MAIL = "Autochrome: tell of failed runs by mail"

_SUBJECT = "Autochrome: {{ flow.name }} {{ flow_run.state.name | lower }}"
_BODY = """\
The run "{{ flow_run.name }}" of the flow {{ flow.name }} is {{ flow_run.state.name | lower }}.

{{ flow_run.state.message }}

{{ flow_run | ui_url }}

No scan is lost: what was not finished is pending, and the next run takes it up.
`autochrome status` counts what stands where, and why.
"""


async def ensure_automations(client: PrefectClient, settings: Settings) -> list[str]:
    """Make or update the automations, and remove those that the settings no longer ask for.

    One that a person has switched off stays off.

    Returns:
        The names of those that there are now.
    """
    wanted = [_lost_runs()]
    webhook, mail = settings.notify_webhook_url, settings.notify_email_url
    if webhook is not None:
        block_id = await _save(client, _webhook_block(webhook), "autochrome-webhook")
        wanted.append(_telling(TELL_BY_WEBHOOK, block_id))
    if mail is not None:
        block_id = await _save(client, SlackWebhook(url=mail), "autochrome-mail")
        wanted.append(_telling(TELL_BY_MAIL, block_id))
    for automation in wanted:
        await _ensure(client, automation)
    await _remove(client, {TELL_BY_WEBHOOK, TELL_BY_MAIL} - {one.name for one in wanted})
    return [one.name for one in wanted]


def _lost_runs() -> AutomationCore:
    ended = ("Completed", "Failed", "Crashed", "Cancelled", "TimedOut")
    waiting = ("Paused", "Suspended", "Scheduled", "AwaitingRetry", "Cancelling")
    return AutomationCore(
        name=LOST_RUNS,
        description=(
            f"A run that said it lives, then nothing for {LOST_AFTER_S} s: its machine is gone. "
            "Its scans are claimed by others when their lease ends, whatever this says."
        ),
        trigger=EventTrigger(
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.heartbeat"}
            | {f"prefect.flow-run.{state}" for state in (*ended, *waiting)},
            match={"prefect.resource.id": ["prefect.flow-run.*"]},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=LOST_AFTER_S),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED, message="Its worker is lost: no sign of life any more."
            )
        ],
    )


def _telling(name: str, block_id: UUID) -> AutomationCore:
    return AutomationCore(
        name=name,
        description="Runs that fail or crash; several of one flow within a quarter hour, once.",
        trigger=EventTrigger(
            expect={f"prefect.flow-run.{state}" for state in ("Failed", "Crashed", "TimedOut")},
            match={"prefect.resource.id": ["prefect.flow-run.*"]},
            for_each={"related:flow:prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(seconds=TOLD_ONCE_IN_S),
        ),
        actions=[SendNotification(block_document_id=block_id, subject=_SUBJECT, body=_BODY)],
    )


def _webhook_block(url: SecretStr) -> NotificationBlock:
    return CustomWebhookNotificationBlock(
        name="autochrome",
        # The address is the secret of such webhooks: only secrets are stored encrypted.
        url="{{address}}",
        json_data={"text": "{{subject}}\n\n{{body}}"},
        secrets=SecretDict({"address": url.get_secret_value()}),
    )


async def _save(client: PrefectClient, block: NotificationBlock, name: str) -> UUID:
    # SlackWebhook hands every address that is not Slack's to Apprise as it is, mailtos:// too, and
    # every Prefect server knows it; a block class of our own would have to be installed there.
    block_id: UUID = await block.save(name, overwrite=True, client=client)
    return block_id


async def _ensure(client: PrefectClient, wanted: AutomationCore) -> None:
    known = await client.read_automations_by_name(wanted.name)
    if not known:
        await client.create_automation(wanted)
        return
    await client.update_automation(
        known[0].id, wanted.model_copy(update={"enabled": known[0].enabled})
    )
    await _delete(client, [one.id for one in known[1:]])


async def _remove(client: PrefectClient, names: set[str]) -> None:
    for name in names:
        known = await client.read_automations_by_name(name)
        await _delete(client, [one.id for one in known])


async def _delete(client: PrefectClient, ids: Sequence[UUID]) -> None:
    for one in ids:
        await client.delete_automation(one)
