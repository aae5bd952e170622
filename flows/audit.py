"""The `audit` flow: derivatives and scans are read again, and compared with the ledger."""

import time

from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact

from flows.prefect_ui import scheduled_name
from tasks.audit import AuditPlan, AuditSummary, run_audit
from tasks.errors import RunAborted
from tasks.ledger.opening import open_ledger
from tasks.ledger.records import FixitySubject
from tasks.settings import current_settings


@flow(name="audit", flow_run_name=lambda: f"audit {scheduled_name()}")
def audit(
    collections: tuple[str, ...] = (),
    *,
    subjects: tuple[FixitySubject, ...] = tuple(FixitySubject),
    limit: int | None = None,
    redo: bool = False,
) -> dict[str, int]:
    """Read files that were not read for a while. A run that ends early is gone on with by the next.

    How old a check may be, how fast it is read and for how long are settings.

    Args:
        collections: Only files of these; none means all.
        subjects: Derivatives, sources, or both.
        limit: Files at most.
        redo: Let damaged derivatives be made anew by the next run.

    Returns:
        How many files by what was found.

    Raises:
        RunAborted: Files do not match, are missing or cannot be read; the table says which.
    """
    settings = current_settings()
    plan = AuditPlan(
        subjects=subjects,
        collections=collections,
        limit=limit,
        older_than_s=settings.audit_older_than_days * 86_400,
        bytes_per_s=settings.audit_mb_per_s * 1e6,
        deadline=time.monotonic() + settings.deadline_hours * 3600,
    )
    redo_as = "the audit flow" if redo else ""
    with open_ledger(settings) as ledger:
        summary = run_audit(settings, ledger, plan, name=scheduled_name(), redo_as=redo_as)
    get_run_logger().info(summary.in_words())
    _show(summary)
    if not summary.is_clean:
        raise RunAborted(f"{summary.in_words()}; the artifact `audit` lists them with remedies")
    return {outcome.value: n for outcome, n in summary.outcomes.items()}


def _show(summary: AuditSummary) -> None:
    rows: list[dict[str, object]] = [
        {
            "file": finding.uri,
            "found": finding.outcome.value,
            "detail": finding.detail,
            "what to do": finding.remedy,
        }
        for finding in summary.findings
    ]
    create_table_artifact(rows, key="audit", description=summary.in_words())
