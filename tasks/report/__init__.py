"""The morning report: what a run did, what it found, and what needs a person."""

from tasks.report.forms import ReportFile, render_report, report_key
from tasks.report.model import (
    Backlog,
    Confidence,
    Found,
    ItemCounts,
    Outage,
    Picture,
    RecipeFacts,
    RunFacts,
    RunReport,
    Sample,
    Speed,
    Trouble,
)
from tasks.report.needs import Need, Urgency, needs_of
