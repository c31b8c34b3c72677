"""The options that mean the same in every command, declared once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer

from styleforge.cli import completion
from styleforge.core.errors import UsageError

AnyCommand = TypeVar("AnyCommand", bound=Callable[..., None])

SETTINGS, RUN = "The picture (else as the preset says)", "How it is run"
SAVED, SAID = "What is saved", "What is said"
"""Groups of options in the help."""


def examples(*lines: str) -> Callable[[AnyCommand], AnyCommand]:
    """End a command's help with examples, each on its own line."""

    def extended(command: AnyCommand) -> AnyCommand:
        told = inspect.cleandoc(command.__doc__ or "").replace("[", "\\[")  # no markup of rich's
        shown = "\n".join(["\b", "Examples:", *(f"  styleforge {line}" for line in lines)])
        command.__doc__ = f"{told}\n\n{shown}\n"
        return command

    return extended


def setting(
    *flags: str, help: str, metavar: str | None = None, env: bool = True, **more: Any
) -> Any:
    """An option that overrides the environment, which overrides the preset."""
    name = flags[-1].removeprefix("--").replace("-", "_").upper()
    return typer.Option(
        *flags,
        envvar=f"STYLEFORGE_{name}" if env else None,
        help=help,
        metavar=metavar,
        show_default=False,
        show_envvar=False,
        rich_help_panel=SETTINGS,
        **more,
    )


def run_option(*flags: str, help: str, metavar: str | None = None, **more: Any) -> Any:
    """An option that does not change the picture."""
    return typer.Option(*flags, help=help, metavar=metavar, rich_help_panel=RUN, **more)


Photo = Annotated[
    str,
    typer.Argument(
        metavar="PHOTO",
        help="The photo to repaint: a file, a web address, or - for standard input.",
        show_default=False,
    ),
]
Photos = Annotated[
    list[str],
    typer.Argument(
        metavar="PHOTO...",
        help="The photos to repaint: files, web addresses, or - for standard input.",
        show_default=False,
    ),
]
Paintings = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PAINTING...",
        help="FILE\\[:WEIGHT]\\[@LAYER+LAYER], as in a.jpg:0.7 b.jpg@conv1_1+conv2_1.",
        show_default=False,
    ),
]
MorePaintings = Annotated[
    list[str] | None,
    typer.Option("--style", metavar="PAINTING", help="The same as naming it after the photo."),
]
Output = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        help="Where it goes; - is standard output.",
        show_default="named after the inputs, here",
        rich_help_panel=SAVED,
    ),
]
Outputs = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        help="Where it goes; - is standard output. Of several photos: a folder.",
        show_default="named after the inputs, here",
        rich_help_panel=SAVED,
    ),
]
OutputFile = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        help="Where it goes; - is standard output.",
        show_default="named after the input, here",
        rich_help_panel=SAVED,
    ),
]
PresetName = Annotated[
    str,
    typer.Option(
        "-p",
        "--preset",
        envvar="STYLEFORGE_PRESET",
        show_envvar=False,
        metavar="NAME",
        help="A preset (styleforge presets lists them), or a .yaml file.",
        autocompletion=completion.presets,
        rich_help_panel=SETTINGS,
    ),
]
Size = Annotated[
    int | None,
    setting("-s", "--size", metavar="PIXELS", help="Longest side; 0: the photo's own."),
]
Print = Annotated[
    str | None,
    setting(
        "--print",
        metavar="60x40cm",
        env=False,
        help="Instead of a size: as large as fits on paper (mm, cm, in).",
    ),
]
Dpi = Annotated[
    float | None,
    typer.Option(
        "--dpi",
        min=1,
        max=65535,
        metavar="DOTS",
        help="Dots per inch on paper, which the file says.",
        show_default="the photo's; 300 with --print",
        rich_help_panel=SETTINGS,
    ),
]
Steps = Annotated[
    int | None, setting("-n", "--steps", metavar="N", help="Steps at the final size.")
]
Beta = Annotated[float | None, setting("--beta", metavar="WEIGHT", help="Weight of the style.")]
Strength = Annotated[
    float | None,
    setting(
        "--strength",
        metavar="0..1",
        help="From 0, the photo stays, to 1, the painting takes over.",
    ),
]
Colors = Annotated[
    str | None,
    setting(
        "--colors",
        metavar="WHICH",
        help="style: the painting's; content: the painting in the photo's first; luminance: only "
        "light and dark is painted; keep: the photo's, at the end.",
    ),
]
PictureColors = Annotated[
    str,
    typer.Option(
        "--colors",
        metavar="WHICH",
        help="style: the style's; content: as the photo's are spread; luminance: only light and "
        "dark is painted; keep: the photo's, at the end.",
    ),
]
Masks = Annotated[
    list[Path] | None,
    typer.Option(
        "--mask",
        metavar="FILE",
        help="White where a style goes; one for each style.",
        show_default=False,
        rich_help_panel=SETTINGS,
    ),
]
StyleMasks = Annotated[
    list[Path] | None,
    typer.Option(
        "--style-mask",
        metavar="FILE",
        help="White where a painting is taken from; one for each painting.",
        show_default=False,
        rich_help_panel=SETTINGS,
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any setting of the preset, as in scales.steps=30.",
        show_default=False,
        rich_help_panel=SETTINGS,
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, metavar="N", help="Of what is random.")]
Device = Annotated[
    str,
    run_option(
        "-d",
        "--device",
        envvar="STYLEFORGE_DEVICE",
        show_envvar=False,
        metavar="NAME",
        help="auto, cpu, cuda, cuda:N or mps.",
        autocompletion=completion.devices,
    ),
]
Precision = Annotated[
    str,
    run_option(
        "--precision",
        envvar="STYLEFORGE_PRECISION",
        show_envvar=False,
        metavar="NAME",
        help="Of convolutions on CUDA: auto, float32, tf32 or bf16.",
    ),
]
Memory = Annotated[
    str,
    run_option(
        "--memory",
        envvar="STYLEFORGE_MEMORY",
        show_envvar=False,
        metavar="BYTES",
        help="What it may take, as in 8GiB.",
        show_default="what is free",
    ),
]
Engine = Annotated[
    Literal["local", "torchrun", "ray"], run_option("--engine", help="What carries it out.")
]
Address = Annotated[
    str,
    run_option(
        "--address",
        metavar="ADDRESS",
        help="Of a Ray cluster that runs already.",
        show_default="one is started",
    ),
]
Depth = Annotated[
    int,
    typer.Option(
        "--depth",
        metavar="BITS",
        help="Bits per channel: 8, or 16 (PNG, TIFF).",
        rich_help_panel=SAVED,
    ),
]
NoRecipe = Annotated[
    bool,
    typer.Option(
        "--no-recipe",
        help="Leave out how it was made: no rerun, no names of files.",
        rich_help_panel=SAVED,
    ),
]
StripMetadata = Annotated[
    bool,
    typer.Option(
        "--strip-metadata",
        help="Leave out the photo's EXIF: place, time, camera.",
        rich_help_panel=SAVED,
    ),
]
Force = Annotated[
    bool, typer.Option("-f", "--force", help="Overwrite what is there.", rich_help_panel=SAVED)
]
Open = Annotated[
    bool,
    typer.Option("--open", help="Show the result in the system's viewer.", rich_help_panel=SAVED),
]
Quiet = Annotated[
    bool, typer.Option("-q", "--quiet", help="Print errors only.", rich_help_panel=SAID)
]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Print more.", rich_help_panel=SAID)]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object.", rich_help_panel=SAID)
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Print what would run, and how long it takes.", rich_help_panel=SAID
    ),
]
Longest = Annotated[
    int,
    typer.Option("-s", "--size", min=0, metavar="PIXELS", help="Longest side; 0: its own."),
]
EverySteps = Annotated[
    int, typer.Option("-n", "--steps", min=1, metavar="N", help="Steps at every scale.")
]
KnownModel = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A file, or the name of a model or of a style.",
        autocompletion=completion.models,
    ),
]
ModelName = Annotated[
    str | None,
    typer.Option(
        "-m",
        "--model",
        metavar="MODEL",
        help="A file, or the name of a model or of a style.",
        autocompletion=completion.models,
        show_default="the one that carries the style, or ships",
    ),
]


def merged(given: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Options that were given, by dotted name, and what ``--set`` says.

    Raises :class:`UsageError` where both say something of one setting.
    """
    said = {key: value for key, value in given.items() if value is not None}
    for key in chosen:
        if key in said:
            raise UsageError(f"--set {key} and its own option both say what it is; leave one out")
    return {**said, **chosen}
