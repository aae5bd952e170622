"""`autochrome audit` and `autochrome verify`: files read again, and compared with the ledger."""

import threading
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from flows.cli.stopping import stopping
from flows.cli.talk import ExitCode, print_json, say, stdout
from tasks.audit import FINDINGS_KEPT, AuditPlan, AuditSummary, run_audit, verify
from tasks.errors import UsageError
from tasks.ledger.opening import open_ledger
from tasks.ledger.records import FixitySubject
from tasks.settings import Settings

_SUBJECTS = {
    "all": tuple(FixitySubject),
    "derivatives": (FixitySubject.DERIVATIVE,),
    "sources": (FixitySubject.SOURCE,),
}


def plan_of(
    settings: Settings, what: str, *, limit: int | None, collection: str | None
) -> AuditPlan:
    """The audit that the arguments mean.

    Raises:
        UsageError: *what* is nothing that can be audited.
    """
    if what not in _SUBJECTS:
        raise UsageError(f"{what!r} cannot be audited; there are {', '.join(_SUBJECTS)}")
    return AuditPlan(
        subjects=_SUBJECTS[what],
        collections=(collection,) if collection else (),
        limit=limit,
        older_than_s=settings.audit_older_than_days * 86_400,
        bytes_per_s=settings.audit_mb_per_s * 1e6,
    )


def audit(settings: Settings, plan: AuditPlan, *, redo_as: str, as_json: bool) -> ExitCode:
    """Read what is due again; each file that is not as it should be is told with its remedy."""
    stop = threading.Event()
    name = datetime.now().astimezone().strftime("%Y-%m-%d-%H%M%S")
    told = "what was read is recorded; start it again, and it goes on"
    with open_ledger(settings) as ledger, stopping(stop, what=told):
        summary = run_audit(settings, ledger, plan, name=name, redo_as=redo_as, stop=stop)
    if as_json:
        print_json(_as_dict(summary))
    else:
        _print(summary)
    if stop.is_set():
        return ExitCode.ABORTED
    return ExitCode.CLEAN if summary.is_clean else ExitCode.FINISHED_WITH_FAULTS


def _as_dict(summary: AuditSummary) -> dict[str, object]:
    return {
        "files": summary.files,
        "size_bytes": summary.size_bytes,
        "outcomes": dict(summary.outcomes),
        "complete": summary.is_complete,
        "redone": summary.redone,
        "findings": [asdict(finding) for finding in summary.findings],
    }


def _print(summary: AuditSummary) -> None:
    for finding in summary.findings:
        stdout.print(f"{finding.outcome}: {finding.uri}")
        stdout.print(f"    {finding.detail}")
        stdout.print(f"    {finding.remedy}")
    if not summary.is_clean and len(summary.findings) == FINDINGS_KEPT:
        say(f"only the first {FINDINGS_KEPT} are shown")
    if summary.redone:
        say(f"{summary.redone:,} items are pending again, to be made anew")
    stdout.print(summary.in_words())


def verify_named(settings: Settings, derivatives: Sequence[str], *, as_json: bool) -> ExitCode:
    """Read single derivatives again."""
    with open_ledger(settings) as ledger:
        found = verify(settings, ledger, derivatives)
    if as_json:
        print_json([asdict(one) for one in found])
    else:
        for one in found:
            stdout.print(f"{'ok' if one.is_match else 'NOT OK'}  {one.uri}")
            stdout.print(f"    {one.detail}")
    is_clean = all(one.is_match for one in found)
    return ExitCode.CLEAN if is_clean else ExitCode.FINISHED_WITH_FAULTS
