"""Orders: nights, requests, retries, backfills. Each function is an operation on the ledger."""

from tasks.ledger.orders.dry_run import plan
from tasks.ledger.orders.planning import enqueue_window, has_scans_at
from tasks.ledger.orders.reading import (
    find_recipe,
    get,
    left_s,
    list_latest,
    list_of_run,
    list_open,
    list_shown,
    progress,
    transitions,
)
from tasks.ledger.orders.records import (
    Budget,
    LeftOutScans,
    Order,
    OrderPlan,
    OrderRow,
    Progress,
    Scope,
    ShareFigures,
    ShareRow,
    Transition,
    Withdrawal,
)
from tasks.ledger.orders.shares import (
    Size,
    beat_share,
    begin_share,
    end_share,
    end_silent_shares,
    goes_on,
    has_precedence,
    is_due,
    is_wanted,
    keep_figures,
    list_open_shares,
    list_shares,
    name_flow_run,
    open_share,
    open_shares,
    share_goes_on,
)
from tasks.ledger.orders.steering import (
    PATIENCE_S,
    cancel,
    end_listing,
    make,
    pause,
    resume,
    settle,
    spent_budget,
    stop,
)
from tasks.schema import OrderKind, OrderMode, OrderState
