"""The ledger's schema: words, column types, tables.

Written as SQLAlchemy Core: every hot statement works on sets of rows, and a command that only asks
for the status starts faster without the ORM. Alembic (`alembic/`) owns the databases; a test
compares the two.

Indexes are explained where they are defined. What they serve, and how fast, is measured by
`tests/bench/ledger_scale.py`. Which rows a partial index holds is said in SQLite's words only:
migrations say it in PostgreSQL's too, whose dialect would be loaded for that alone.
"""

from tasks.schema.base import REVISION, UNCHECKED, metadata
from tasks.schema.corrections import correction
from tasks.schema.decisions import decision, decision_item
from tasks.schema.films import SHOT_UNFINISHED, shot
from tasks.schema.items import (
    CLAIMED,
    IN_REVIEW,
    LOOKED_AFTER,
    LOOKED_AFTER_STATUSES,
    PENDING_ALONE,
    PENDING_FOR_NONE,
    PENDING_IN_ORDER,
    SETTLED,
    SETTLED_STATUSES,
    attempt,
    claim,
    derivative,
    derivative_fixity,
    item,
    recipe,
    scan_fixity,
    status_in,
)
from tasks.schema.models import (
    champion,
    checkpoint,
    reference,
    reference_set,
    reference_set_member,
    training,
)
from tasks.schema.orders import share, work_order
from tasks.schema.people import desk_session, opinion, person
from tasks.schema.refusals import held_place, refusal
from tasks.schema.runs import run
from tasks.schema.scans import DOUBTED, PAGE, WORDS, link, outage, scan, scan_revision, store
from tasks.schema.tallies import item_tally, order_tally, scan_tally
from tasks.schema.types import Moment, moment_text
from tasks.schema.words import (
    AttemptEnding,
    DecisionKind,
    FixityOutcome,
    ItemStatus,
    OrderKind,
    OrderMode,
    OrderState,
    ShotStatus,
    ShotVerdict,
)
