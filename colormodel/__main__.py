"""``python -m colormodel``: colorize, train, evaluate, strip, card, polarity, on local files.

Data goes to stdout, talk to stderr. Exit codes: 0 clean, 1 something could not be done, 2 usage.
"""

import importlib
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="colormodel",
    help="Colour for greyscale photographs: the network alone, on local files.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Files = Annotated[list[Path], typer.Argument(help="JPEG, PNG, WebP or TIFF files.")]
CheckpointFile = Annotated[
    Path | None, typer.Option("--checkpoint", help="The network; the bundled one if not given.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:0.")]
Fade = Annotated[
    float, typer.Option(min=0, max=4, help="Fade colours by the network's doubt; 0: do not.")
]


@app.command()
def colorize(  # noqa: PLR0913 — typer: an option is a parameter
    *,
    files: Files,
    out: Annotated[Path, typer.Option(help="Folder for the PNG files, of the same size and name.")],
    checkpoint: CheckpointFile = None,
    hints: Annotated[
        Path | None,
        typer.Option(help='JSON list of {"x": 0..1, "y": 0..1, "rgb": [r, g, b]}, for all files.'),
    ] = None,
    fade: Fade = 0.0,
    device: Device = "auto",
) -> None:
    """Colourize files; prints each PNG's path and how sure the network is, from 0 to 1."""
    _run(
        "colorize",
        files=files,
        out=out,
        checkpoint=checkpoint,
        hints=hints,
        fade=fade,
        device=device,
    )


@app.command()
def train(  # noqa: PLR0913 — typer: an option is a parameter
    *,
    recipe: Annotated[Path, typer.Argument(help="TOML file; see colormodel/recipes/.")],
    out: Annotated[Path, typer.Option(help="Folder for checkpoint.safetensors and the state.")],
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Go on from the state in the folder.")
    ] = True,
    override: Annotated[
        list[str] | None,
        typer.Option("--set", help="Another value: data.minibatch=16, minutes=60."),
    ] = None,
    look: Annotated[
        list[Path] | None,
        typer.Option(help="Picture to look at while it trains: look.jpg at every save."),
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, help="That train together on a CPU, one thread each.")
    ] = 1,
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="By the clock, whatever the recipe says.")
    ] = None,
) -> None:
    """Train a network by a recipe; killed, it goes on where it last saved."""
    _run(
        "train",
        recipe=recipe,
        out=out,
        resume=resume,
        overrides=override or [],
        look=look or [],
        processes=processes,
        minutes=minutes,
    )


@app.command()
def evaluate(  # noqa: PLR0913 — typer: an option is a parameter
    *,
    photos: Annotated[Path, typer.Option(help="Folder with val.csv and val-*.tar, or pictures.")],
    references: Annotated[
        Path | None, typer.Option(help="Folder of period colour photographs, measured apart.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Folder of weights for LPIPS, KID and recognition.")
    ] = None,
    checkpoint: Annotated[
        list[Path] | None, typer.Option(help="A row of the table; the bundled ones if not given.")
    ] = None,
    film: Annotated[
        bool, typer.Option("--film", help="Also from inputs degraded as on old film.")
    ] = False,
    hints: Annotated[int, typer.Option(min=0, help="True points in the rows with hints.")] = 10,
    fade: Fade = 0.0,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Photographs of each set at most.")
    ] = None,
    device: Device = "auto",
    json: Annotated[Path | None, typer.Option(help="File for all figures.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="File for the table.")] = None,
    plot: Annotated[Path | None, typer.Option(help="File for the reliability plot, SVG.")] = None,
    write_card: Annotated[
        bool, typer.Option(help="Write the figures into the checkpoints' cards, in place.")
    ] = False,
) -> None:
    """Measure networks beside what is left grey, on photographs that they have never seen."""
    _run(
        "evaluate",
        photos=photos,
        references=references,
        weights=weights,
        checkpoints=checkpoint or [],
        film=film,
        hints=hints,
        fade=fade,
        limit=limit,
        device=device,
        json=json,
        markdown=markdown,
        plot=plot,
        write_card=write_card,
    )


@app.command()
def strip(  # noqa: PLR0913 — typer: an option is a parameter
    *,
    files: Files,
    out: Annotated[Path, typer.Option(help="PNG or JPEG file.")],
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(help="A network, from left to right; the bundled one if not given."),
    ] = None,
    device: Device = "auto",
    scans: Annotated[int, typer.Option(min=1, help="In a row, each grey and coloured.")] = 2,
    width: Annotated[int, typer.Option(min=64, help="Of the whole, in pixels.")] = 1200,
    most_kb: Annotated[int, typer.Option(min=1, help="Size that a JPEG must not pass.")] = 400,
) -> None:
    """Lay scans out before and after, as one picture."""
    _run(
        "strip",
        files=files,
        out=out,
        checkpoints=checkpoint or [],
        device=device,
        scans=scans,
        width=width,
        most_bytes=1000 * most_kb,
    )


@app.command()
def polarity(
    *,
    photos: Annotated[Path, typer.Option(help="Folder with train.csv and train-*.tar.")],
    out: Annotated[Path, typer.Option(help="File for the weights.")],
    checkpoint: CheckpointFile = None,
    limit: Annotated[int, typer.Option(min=100, help="Photographs at most.")] = 4000,
) -> None:
    """Fit what tells negatives from positives to a network's encoder."""
    _run("polarity", photos=photos, out=out, checkpoint=checkpoint, limit=limit)


@app.command()
def card(
    *,
    checkpoint: CheckpointFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell what a checkpoint was trained on, under which terms, and where it fails."""
    _run("card", checkpoint=checkpoint, as_json=as_json)


def _run(command: str, **options: object) -> None:
    """Import a command's module, which loads torch, only now; end with its exit code."""
    module = importlib.import_module(f"colormodel.commands.{command}")
    try:
        code = module.run(**options)
    except module.ERRORS as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    raise typer.Exit(code)


if __name__ == "__main__":
    app()
