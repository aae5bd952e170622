"""The audit: files are read again, and compared with the digests on record.

Derivatives and scans alike are read, a few at once and no faster than they may be, and what is
found is recorded page by page. Files that were checked lately are passed over, so an audit that was
broken off is simply started again.
"""

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tasks.errors import AccessDenied, AutochromeError, StorageUnavailable, UsageError
from tasks.ledger import ItemFilter, Ledger, RunEnding
from tasks.ledger.fixity import (
    damaged_items,
    due_derivatives,
    due_sources,
    find_derivatives,
    record_checks,
    uri_of_source,
)
from tasks.ledger.records import (
    DerivativeRow,
    FixityCheck,
    FixityFilter,
    FixitySubject,
    SourceRow,
)
from tasks.ledger.uris import keys_under, read_name, readings_of, root_of, uri_given, uri_of
from tasks.runs import recorded_run
from tasks.schema import FixityOutcome
from tasks.settings import Settings
from tasks.storage import ObjectMissing, ObjectStore, address_of, open_store
from tasks.storage.keys import key_from_name
from tasks.words import count

logger = logging.getLogger(__name__)

#: Files that are listed, read and recorded together: what a kill may have to read again.
PAGE_FILES = 64

#: Files that are read at once: enough to hide a store's answering time.
READERS = 4

#: Findings that an audit keeps to show; all of them are in the ledger.
FINDINGS_KEPT = 100

REMEDIES = {
    (FixitySubject.DERIVATIVE, FixityOutcome.MISMATCHED): "`autochrome redo` makes it anew",
    (FixitySubject.DERIVATIVE, FixityOutcome.MISSING): "`autochrome redo` makes it anew",
    (FixitySubject.SOURCE, FixityOutcome.MISMATCHED): (
        "fixity_mismatch: treat it as damage, compare it with a backup and restore it"
    ),
    (FixitySubject.SOURCE, FixityOutcome.MISSING): (
        "restore it from a backup, or let the next discovery mark it as vanished"
    ),
}
_WHEN_UNREADABLE = "the next audit reads it again"


@dataclass(frozen=True)
class AuditPlan:
    """What is audited, and how fast."""

    subjects: tuple[FixitySubject, ...] = tuple(FixitySubject)
    collections: tuple[str, ...] = ()
    limit: int | None = None  #: files at most
    older_than_s: float = 0.0  #: only files whose last check is so old
    bytes_per_s: float = 0.0  #: 0: as fast as it goes
    deadline: float | None = None  #: by `time.monotonic`


@dataclass(frozen=True)
class Finding:
    """A file that is not as it should be, and what to do."""

    subject: FixitySubject
    uri: str
    scan_uri: str
    outcome: FixityOutcome
    detail: str
    remedy: str


@dataclass
class AuditSummary:
    """What an audit found."""

    outcomes: Counter[FixityOutcome] = field(default_factory=Counter)
    size_bytes: int = 0
    findings: list[Finding] = field(default_factory=list)  #: the first of them
    redone: int = 0  #: items put back to pending, so that damaged derivatives are made anew
    is_complete: bool = False  #: nothing is due any more

    @property
    def files(self) -> int:
        """How many were read."""
        return self.outcomes.total()

    @property
    def damaged(self) -> int:
        """How many do not match, or are not there."""
        return sum(n for outcome, n in self.outcomes.items() if outcome.is_damage)

    @property
    def is_clean(self) -> bool:
        """Whether every file that was asked for could be read, and matched."""
        return not self.damaged and not self.outcomes[FixityOutcome.UNREADABLE]

    def in_words(self) -> str:
        """Say it in a line."""
        parts = [f"{n:,} {outcome}" for outcome, n in self.outcomes.most_common()]
        rest = "" if self.is_complete else "; more are due"
        said = f"{count(self.files, 'file')} read, {self.size_bytes / 1e9:,.2f} GB"
        return said + (f": {', '.join(parts)}" if parts else "") + rest


@dataclass(frozen=True)
class _File:
    """One file to read."""

    id: int
    store: str
    key: str
    sha256: str
    size_bytes: int
    etag: str | None  #: of a source, as it was listed
    uri: str
    scan_uri: str


def audit(
    settings: Settings,
    ledger: Ledger,
    plan: AuditPlan,
    *,
    run_id: int,
    stop: threading.Event | None = None,
) -> AuditSummary:
    """Read what is due, and record what is found.

    Returns:
        What was found; also when *stop* was set, the limit reached or the deadline passed.

    Raises:
        AccessDenied: A store may not be read at all.
        SourceNotFound: A store is not there.
        DatabaseUnavailable: The ledger cannot be asked or written.
    """
    summary = AuditSummary()
    work = _Audit(settings, ledger, plan, run_id, stop or threading.Event(), summary)
    with ThreadPoolExecutor(READERS, thread_name_prefix="audit") as readers:
        for subject in plan.subjects:
            for page in work.pages(subject):
                work.check(readers, subject, page)
    summary.is_complete = not work.is_over()
    return summary


def run_audit(  # noqa: PLR0913 - each may be left out but four
    settings: Settings,
    ledger: Ledger,
    plan: AuditPlan,
    *,
    name: str,
    redo_as: str = "",
    stop: threading.Event | None = None,
) -> AuditSummary:
    """Audit as a run of its own in the ledger.

    Args:
        settings: Where the stores are reached with.
        ledger: Opened.
        plan: What is audited.
        name: The run's.
        redo_as: Who asks for damaged derivatives to be made anew; empty: nobody does.
        stop: Ends it early when set.
    """
    with recorded_run(ledger, "audit", name) as run:
        summary = audit(settings, ledger, plan, run_id=run.id, stop=stop)
        if redo_as and (items := damaged_items(ledger, run_id=run.id)):
            chosen = ItemFilter(ids=items)
            summary.redone = ledger.redo(chosen, who=redo_as, why=f"damaged, by audit {name}")
        if stop is not None and stop.is_set():
            run.ending = RunEnding.CANCELLED
        run.detail = summary.in_words()
    return summary


class _Audit:
    """One audit at work."""

    def __init__(  # noqa: PLR0913, PLR0917 - what it works with
        self,
        settings: Settings,
        ledger: Ledger,
        plan: AuditPlan,
        run_id: int,
        stop: threading.Event,
        summary: AuditSummary,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._plan = plan
        self._run_id = run_id
        self._stop = stop
        self._summary = summary
        self._listed = 0
        self._stores: dict[str, ObjectStore] = {}
        self._pace = _Pace(plan.bytes_per_s, stop)

    def is_over(self) -> bool:
        """Whether it has to end before everything is read."""
        plan = self._plan
        if self._stop.is_set() or (plan.limit is not None and self._listed >= plan.limit):
            return True
        return plan.deadline is not None and time.monotonic() >= plan.deadline

    def pages(self, subject: FixitySubject) -> Iterator[list[_File]]:
        """What is due, page by page."""
        chosen = FixityFilter(self._plan.older_than_s, self._plan.collections)
        after_id = 0
        while not self.is_over():
            left = PAGE_FILES if self._plan.limit is None else self._plan.limit - self._listed
            page = _due(self._ledger, subject, chosen, after_id, min(left, PAGE_FILES))
            if not page:
                return
            after_id = page[-1].id
            self._listed += len(page)
            yield page

    def check(
        self, readers: ThreadPoolExecutor, subject: FixitySubject, page: Sequence[_File]
    ) -> None:
        """Read a page's files, record what was found, and count it."""
        for url in {file.store for file in page} - self._stores.keys():
            self._stores[url] = _open(self._settings, url)  # a store that is away ends the audit
        found = [check for check in readers.map(self._read, page) if check is not None]
        standing = record_checks(self._ledger, subject, found, run_id=self._run_id)
        files = {file.id: file for file in page}
        for check in found:
            if check.id in standing:
                self._count(subject, files[check.id], check)

    def _read(self, file: _File) -> FixityCheck | None:
        if self._stop.is_set():
            return None
        self._pace.wait_for(file.size_bytes)
        store = self._stores[file.store]
        try:
            digest = store.digest(file.key)
        except ObjectMissing as error:
            return _missing(store, file, error)
        except AccessDenied:
            raise
        except AutochromeError as error:
            return FixityCheck(file.id, file.sha256, FixityOutcome.UNREADABLE, None, str(error))
        if digest == file.sha256:
            return FixityCheck(file.id, file.sha256, FixityOutcome.MATCHED, digest, "")
        return _mismatch(store, file, digest)

    def _count(self, subject: FixitySubject, file: _File, check: FixityCheck) -> None:
        self._summary.outcomes[check.outcome] += 1
        self._summary.size_bytes += file.size_bytes
        if not check.outcome.is_damage and check.outcome is not FixityOutcome.UNREADABLE:
            return
        remedy = REMEDIES.get((subject, check.outcome), _WHEN_UNREADABLE)
        logger.warning("%s: %s; %s", file.uri, check.detail, remedy)
        if len(self._summary.findings) < FINDINGS_KEPT:
            self._summary.findings.append(
                Finding(subject, file.uri, file.scan_uri, check.outcome, check.detail, remedy)
            )


def _mismatch(store: ObjectStore, file: _File, digest: str) -> FixityCheck:
    """Tell a source that somebody replaced from one that changed by itself."""
    if file.etag is not None:
        try:
            now = store.stat(file.key)
        except StorageUnavailable as error:
            return FixityCheck(file.id, file.sha256, FixityOutcome.UNREADABLE, digest, str(error))
        if now is None or now.etag != file.etag:
            detail = "replaced since it was listed; the next discovery gives it a new revision"
            return FixityCheck(file.id, file.sha256, FixityOutcome.CHANGED, digest, detail)
    detail = f"sha256 is {digest}, recorded was {file.sha256}"
    return FixityCheck(file.id, file.sha256, FixityOutcome.MISMATCHED, digest, detail)


def _due(
    ledger: Ledger, subject: FixitySubject, chosen: FixityFilter, after_id: int, limit: int
) -> list[_File]:
    if subject is FixitySubject.DERIVATIVE:
        rows = due_derivatives(ledger, chosen, after_id=after_id, limit=limit)
        return [_derivative_file(row) for row in rows]
    sources = due_sources(ledger, chosen, after_id=after_id, limit=limit)
    return [_source_file(row) for row in sources]


def _derivative_file(row: DerivativeRow) -> _File:
    uri = uri_of(row.store, row.key)
    return _File(row.id, row.store, row.key, row.sha256, row.size_bytes, None, uri, row.scan_uri)


def _source_file(row: SourceRow) -> _File:
    uri = uri_of_source(row)
    return _File(row.scan_id, row.source, row.key, row.sha256, row.size_bytes, row.etag, uri, uri)


def _missing(store: ObjectStore, file: _File, error: Exception) -> FixityCheck:
    """A file that is not there; where the whole store is away, nothing is known of it."""
    try:
        store.check()
        return FixityCheck(file.id, file.sha256, FixityOutcome.MISSING, None, str(error))
    except AutochromeError as away:
        return FixityCheck(file.id, file.sha256, FixityOutcome.UNREADABLE, None, str(away))


def _open(settings: Settings, url: str) -> ObjectStore:
    """The store at *url*; the output as its writer, whose role may get, but not list."""
    is_output = url == address_of(settings.output)
    return open_store(url, settings=settings, writable=is_output, is_made=True)


class _Pace:
    """Holds readers back so that no more bytes a second are read than may be."""

    def __init__(self, bytes_per_s: float, stop: threading.Event) -> None:
        self._bytes_per_s = bytes_per_s
        self._stop = stop
        self._lock = threading.Lock()
        self._free_at = time.monotonic()

    def wait_for(self, size_bytes: int) -> None:
        """Wait for one's turn to read so much."""
        if not self._bytes_per_s:
            return
        with self._lock:
            begin = max(self._free_at, time.monotonic())
            self._free_at = begin + size_bytes / self._bytes_per_s
        self._stop.wait(max(0.0, begin - time.monotonic()))


# --- single derivatives --------------------------------------------------------------------------


@dataclass(frozen=True)
class Verification:
    """One derivative that was named, and whether it is what the ledger recorded."""

    uri: str
    is_match: bool
    detail: str


def verify(settings: Settings, ledger: Ledger, derivatives: Sequence[str]) -> list[Verification]:
    """Read named derivatives again, by URI, path or key.

    Raises:
        UsageError: The ledger knows no derivative of that name.
    """
    return [_verify(settings, ledger, name) for name in derivatives]


def _verify(settings: Settings, ledger: Ledger, name: str) -> Verification:
    keys = _keys_of(settings, name)
    rows = find_derivatives(ledger, keys)
    if not rows:
        raise UsageError(
            f"{name}: the ledger knows no such derivative; `autochrome item` lists a scan's"
        )
    output = address_of(settings.output)
    row = min(rows, key=lambda row: (keys.index(row.key), row.store != output, -row.id))
    uri = uri_of(row.store, row.key)
    try:
        digest = _open(settings, row.store).digest(row.key)
    except StorageUnavailable as error:
        return Verification(uri, is_match=False, detail=str(error))
    if digest == row.sha256:
        return Verification(uri, is_match=True, detail=f"sha256 {digest}, as recorded")
    detail = f"fixity_mismatch: sha256 is {digest}, recorded was {row.sha256}"
    return Verification(uri, is_match=False, detail=detail)


def _keys_of(settings: Settings, name: str) -> list[str]:
    """The keys that *name* may mean, the likeliest first: of the URI or path of one in the output.

    Or it is a key: its bytes, as in URIs, or as the ledger writes it.
    """
    root = root_of(address_of(settings.output))
    written = os.fsencode(name)
    named = [reading.name for reading in readings_of(uri_given(name))]
    keys = [key for full in named for key in keys_under(root, full, respelt=True)]
    as_in_ledger = keys_under(root, written.decode("utf-8", "replace"))
    return [*keys, key_from_name(written), read_name(name), *as_in_ledger]
