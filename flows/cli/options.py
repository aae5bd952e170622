"""Options that several commands share, and the panels of `autochrome --help`."""

from pathlib import Path
from typing import Annotated

import typer

# The panels, by who needs what is in them.
START = "To begin with"
LOOK = "To see what became of scans"
CURATE = "For curators"
MODEL = "For the model"
OPERATE = "For whoever runs it"

Database = Annotated[
    str | None,
    typer.Option(
        "--db",
        metavar="URL",
        help="The ledger: sqlite:///FILE or postgresql://…  [default: sqlite:///autochrome.db]",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
AsPremis = Annotated[
    bool, typer.Option("--premis", help="Print PREMIS 3 XML, for a preservation system.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say how many it would be.")]
Collection = Annotated[
    str | None, typer.Option("--collection", metavar="NAME", help="Only this collection.")
]
IntoCollection = Annotated[
    str | None,
    typer.Option("--collection", metavar="NAME", help="The collection that they belong to."),
]
Who = Annotated[
    str | None,
    typer.Option("--who", metavar="NAME", help="Who decides this.  [default: the login name]"),
]
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, for the record.")]
Output = Annotated[
    str | None,
    typer.Option("--out", metavar="OUT", help="Where derivatives go: s3://…, file:///… or a path."),
]
Device = Annotated[
    str | None, typer.Option("--device", help="auto, cpu, cuda or cuda:N.", show_default="auto")
]
CheckpointFile = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        metavar="FILE",
        help="Use this checkpoint instead of the champion.",
    ),
]
Statuses = Annotated[
    list[str] | None, typer.Option("--status", metavar="STATUS", help="Only in this status.")
]
Reasons = Annotated[
    list[str] | None, typer.Option("--reason", metavar="REASON", help="Only for this reason.")
]
RecipeDigest = Annotated[
    str | None,
    typer.Option("--recipe", metavar="DIGEST", help="Only under the recipe that begins so."),
]
OlderThan = Annotated[
    float | None,
    typer.Option("--older-than", metavar="HOURS", help="Only if in its status for so long."),
]
Everything = Annotated[bool, typer.Option("--all", help="All items that the command applies to.")]
Include = Annotated[
    list[str] | None,
    typer.Option("--include", metavar="PATTERN", help="Only files that this matches are scans."),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude", metavar="PATTERN", help="Files to leave out, as in gitignore; !… takes back."
    ),
]
