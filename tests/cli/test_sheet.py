from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from styleforge.cli import sheet_run
from styleforge.core.files import MACHINE
from styleforge.images.contact_sheet import GAP, TEXT
from styleforge.jobs import sheet as sheet_job
from styleforge.jobs import transfer as transfer_job
from styleforge.jobs.recipe import load_recipe
from styleforge.jobs.sheet import Cell, SheetJob, paintings, unique
from styleforge.jobs.sheet_result import save_sheet
from styleforge.presets.transfer import shipped_presets
from styleforge.transfers import estimate
from styleforge.vgg.weights import Weights
from tests.cli.conftest import PRESET, Command
from tests.pictures import noise

SUFFIXES = ".png, .jpg, .jpeg, .webp, .tif, .tiff"
PRESETS = ", ".join(shipped_presets())
NAMES = ["s_beta-1.png", "s_beta-1e3.png", "n_beta-1.png", "n_beta-1e3.png"]


@pytest.fixture
def loads(weights: Weights, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the weights that a sheet has loaded."""
    names: list[str] = []

    def load(name: str) -> Weights:
        names.append(name)
        return weights

    monkeypatch.setattr(sheet_job, "load_weights", load)
    return names


@pytest.fixture
def command(command: Command, loads: list[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """With weights that are there already, a preset of one step and a short look at the speed."""
    assert not loads
    monkeypatch.setattr(estimate, "_PROBE_SIDES", (32,))
    Path("q.yaml").write_text(PRESET.replace("steps: 4", "steps: 1"))
    return command


@pytest.fixture
def sheet(command: Command) -> Command:
    """``sheet()``: c.png in the styles of s.png and n.png, with two weights each, as out.png."""
    noise(seed=1).save("n.png")
    styles = ("--style", "s.png", "--style", "n.png")
    return lambda *options: command(
        *("sheet", "c.png", *styles, "-p", "q.yaml", "--set", "beta=1,1e3"),
        *("-o", "out.png", "--cell", "48"),
        *options,
    )


def pictures() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path("out").glob("*.png")}


def test_every_style_is_rendered_with_every_setting(sheet: Command, loads: list[str]) -> None:
    done = sheet()
    assert (done.code, done.out) == (0, b"")
    assert set(pictures()) == set(NAMES)
    assert loads == ["auto"]
    lines = done.err.splitlines()
    assert lines[:4] == [f"{n} of 4: out/{name}" for n, name in enumerate(NAMES, 1)]
    assert lines[4].startswith("Saved out.png (4 pictures) in ")
    assert lines[5:] == ["pictures and recipes: out/index.html"]
    recipe = load_recipe(Path("out/n_beta-1e3.png"))
    assert [style.path for style in recipe.styles] == ["n.png"]
    assert recipe.settings["style"]["beta"] == 1000


def test_a_picture_is_the_one_that_a_transfer_makes(sheet: Command, command: Command) -> None:
    sheet()
    command("transfer", "c.png", "n.png", "-p", "q.yaml", "--beta", "1000", "-o", "one.png")
    assert Path("one.png").read_bytes() == Path("out/n_beta-1e3.png").read_bytes()


def test_the_sheet_has_a_row_for_each_painting_and_a_column_for_each_value(sheet: Command) -> None:
    assert sheet().code == 0
    width, height = Image.open("out.png").size
    assert width == 48 + 48 + 48 + 4 * GAP
    assert height == TEXT + 2 * GAP + 48 + 40 + 2 * (TEXT + 2 * GAP)
    made = Image.open("out/s_beta-1e3.png").convert("RGB")
    painting = Image.open("s.png")
    found = Image.open("out.png")
    top = TEXT + 2 * GAP
    assert found.crop((GAP, top, GAP + 40, top + 48)).tobytes() == painting.tobytes()
    left = 3 * GAP + 2 * 48
    assert found.crop((left, top, left + 48, top + 40)).tobytes() == made.tobytes()


def test_paintings_alone_make_a_gallery(command: Command) -> None:
    Path("art").mkdir()
    for seed in range(3):
        noise(seed=seed).save(f"art/{seed}.png")
    done = command("sheet", "c.png", "--style", "art", "-p", "q.yaml", "-o", "o.png", "--cell", 48)
    assert done.code == 0
    assert {path.name for path in Path("o").iterdir()} == {"0.png", "1.png", "2.png", "index.html"}
    width, height = Image.open("o.png").size
    assert width == 2 * 48 + 3 * GAP
    assert height == GAP + 2 * (40 + 2 * GAP + TEXT)


def test_the_page_shows_the_pictures_with_their_recipes(sheet: Command) -> None:
    done = sheet("-q")
    assert (done.code, done.out, done.err) == (0, b"", "")
    page = Path("out/index.html").read_text(encoding="utf-8")
    places = [page.index(f'src="{name}"') for name in NAMES]
    assert places == sorted(places)
    assert "<figcaption>n, beta 1e3<details>" in page
    assert page.count("preset: q.yaml") == 4
    assert page.count("beta: 1000.0") == 2


def test_json_says_what_was_made(sheet: Command) -> None:
    report = sheet("--json", "-q").json
    assert list(report) == ["output", "page", "pictures", "failed", "seconds"]
    assert (report["output"], report["page"]) == ("out.png", "out/index.html")
    assert report["pictures"][1] == {
        "path": "out/s_beta-1e3.png",
        "labels": ["s", "beta 1e3"],
        "new": True,
    }


def test_what_is_there_with_the_same_recipe_is_not_made_again(sheet: Command) -> None:
    sheet()
    first = {path: path.stat().st_mtime_ns for path in Path("out").glob("*.png")}
    done = sheet("--force", "--json")
    assert {path: path.stat().st_mtime_ns for path in Path("out").glob("*.png")} == first
    assert [picture["new"] for picture in done.json["pictures"]] == [False] * 4
    assert done.err.splitlines()[0].startswith("Saved out.png (4 pictures) in ")
    (Path("out") / NAMES[2]).unlink()
    done = sheet("--force", "--json")
    assert [picture["new"] for picture in done.json["pictures"]] == [False, False, True, False]
    assert done.err.splitlines()[0] == f"4 of 4: out/{NAMES[2]}"


@pytest.mark.parametrize("foreign", [b"mine", None])
def test_a_picture_made_otherwise_is_overwritten_with_force_only(
    sheet: Command, foreign: bytes | None
) -> None:
    Path("out").mkdir()
    there = Path("out", NAMES[0])
    there.write_bytes(foreign or Path("c.png").read_bytes())
    before = there.read_bytes()
    done = sheet()
    assert done.err == f"Error: {there} exists; use --force to overwrite it\n"
    assert (done.code, set(pictures())) == (2, {NAMES[0]})
    assert there.read_bytes() == before
    assert sheet("--force").code == 0
    assert load_recipe(there).settings["style"]["beta"] == 1


def test_a_sheet_is_there_whole_or_not_at_all(
    sheet: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked_to_end(job: SheetJob, made: Sequence[Cell]) -> None:
        monkeypatch.setattr(os, "fsync", lambda _: os.kill(os.getpid(), signal.SIGTERM))
        save_sheet(job, made)

    monkeypatch.setattr(sheet_run, "save_sheet", asked_to_end)
    done = sheet("-q")
    assert (done.code, done.err) == (130, "Interrupted.\n")
    assert not [path for path in Path().rglob("*.png*") if path.name.startswith((".", "out"))]


def test_what_a_killed_sheet_has_left_half_written_is_cleared_away(sheet: Command) -> None:
    half = Path("out") / f".{NAMES[0]}.{2**22 + 1}.{MACHINE}-abcdefgh"
    half.parent.mkdir()
    half.touch()
    assert sheet().code == 0
    assert not half.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_sheet_keeps_what_is_done_and_goes_on(
    sheet: Command, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    ensure = transfer_job.ensure_memory
    calls = iter(range(9))

    def stop_at_the_third(*arguments: Any, **options: Any) -> None:
        ensure(*arguments, **options)
        if next(calls) == 2:
            os.kill(os.getpid(), number)

    with monkeypatch.context() as patch:
        patch.setattr(transfer_job, "ensure_memory", stop_at_the_third)
        done = sheet()
    assert done.code == 130
    assert done.err.splitlines()[2:] == [
        "Interrupted: 2 of 4 pictures are in out; the same command goes on from there"
    ]
    kept = pictures()
    assert set(kept) == set(NAMES[:2])
    assert not Path("out.png").exists()
    again = sheet()
    assert again.code == 0
    assert again.err.splitlines()[0] == f"3 of 4: out/{NAMES[2]}"
    assert kept.items() <= pictures().items()


def test_a_picture_that_fails_leaves_its_place_empty(sheet: Command) -> None:
    done = sheet("--set", "tv=0,1e39")
    lines = done.err.splitlines()
    assert lines[1] == (
        "s, beta 1, tv 1e39: the loss of the initial image is not finite; use smaller weights"
    )
    assert lines[-1] == (
        "Error: 4 of 8 pictures could not be made: s, beta 1, tv 1e39; s, beta 1e3, tv 1e39; "
        "n, beta 1, tv 1e39; n, beta 1e3, tv 1e39"
    )
    assert done.code == 1
    assert len(pictures()) == 4
    assert Path("out/index.html").read_text(encoding="utf-8").count("<img") == 4
    assert Image.open("out.png").size[1] > 4 * 48


def test_a_dry_run_counts_and_writes_nothing(sheet: Command) -> None:
    before = set(Path().iterdir())
    done = sheet("--dry-run")
    assert (done.code, done.err) == (0, "")
    first, device, *cells, last = done.text.splitlines()
    assert first == "output   out.png, out/index.html"
    assert device.startswith("device   cpu (")
    assert cells == [
        f"picture  {style}, beta {beta} (48 x 40)" for style in "sn" for beta in ("1", "1e3")
    ]
    assert last.startswith("takes    4 of 4 pictures, 8 evaluations, about ")
    assert set(Path().iterdir()) == before


def test_a_dry_run_leaves_out_what_is_there(sheet: Command) -> None:
    sheet()
    (Path("out") / NAMES[2]).unlink()
    assert "picture  s, beta 1 (48 x 40), is there\n" in sheet("--dry-run", "-f").text
    plan = sheet("--dry-run", "-f", "--json").json
    assert (plan["pictures"], plan["missing"], plan["evaluations"]) == (4, 1, 2)
    assert list(plan) == [
        *("output", "page", "device", "pictures", "missing", "evaluations", "seconds"),
        "memory_mib",
    ]
    (Path("out") / NAMES[2]).write_bytes(b"")
    assert sheet("--dry-run", "-f", "--json").json["missing"] == 1


def test_a_dry_run_of_nothing_to_do(sheet: Command) -> None:
    sheet()
    last = sheet("--dry-run", "-f").text.splitlines()[-1]
    assert last == "takes    0 of 4 pictures, 0 evaluations, about 0 s, about 0 MiB of memory"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--style", "no.png"), "no such file: no.png"),
        (
            ("--style", "empty"),
            f"no paintings in empty; they end in {SUFFIXES}, "
            ".bmp, .gif, .avif, .heic, .heif, .jp2, .ppm",
        ),
        (("--set", "scale=0"), "q.yaml: style.scale: input should be greater than 0 (not 0)"),
        (("--set", "init=no.png"), "no such file: no.png"),
        (
            ("--set", "size=8"),
            "the content image is 48 x 40 pixels: at size 8 its shorter side would have 7; "
            "use --size 39 or more",
        ),
        (
            ("-o", "sheet.gif"),
            f"sheet.gif: the name must end in one of {SUFFIXES}",
        ),
        (("-o", "c.png", "-f"), "c.png is one of the inputs; choose another output"),
        (("-o", "s.png", "-f"), "s.png is one of the inputs; choose another output"),
        (("-o", "p.png"), "p is not a folder; choose another output"),
        (("-o", "old.png"), "old/index.html exists; use --force to overwrite it"),
        (
            ("-p", "no"),
            f"unknown preset 'no'; there are {PRESETS}, or give the path of a .yaml file",
        ),
        (("-d", "gpu"), "unknown device 'gpu'; use auto, cpu, cuda, cuda:N or mps"),
    ],
)
def test_mistakes_are_named_before_any_work(
    sheet: Command, options: tuple[str, ...], message: str
) -> None:
    Path("empty").mkdir()
    Path("old").mkdir()
    Path("old/index.html").write_text("mine")
    Path("p").write_text("")
    before = {path: path.is_file() and path.read_bytes() for path in Path().rglob("*")}
    done = sheet(*options)
    assert (done.code, done.out, done.err) == (2, b"", f"Error: {message}\n")
    assert {path: path.is_file() and path.read_bytes() for path in Path().rglob("*")} == before


@pytest.fixture
def art(tmp_path: Path) -> Path:
    for name in ("b.jpg", "a.PNG", "photo.png", "notes.txt", "below/c.jpg"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path


def test_a_folders_paintings_are_those_in_it_by_name_but_not_the_photo(art: Path) -> None:
    named, photo = art / "b.jpg", art / "photo.png"
    assert paintings([art], apart_from=[photo]) == [art / "a.PNG", named]
    assert paintings([named, art], apart_from=[photo]) == [named, art / "a.PNG"]
    assert paintings([photo], apart_from=[photo]) == [photo]


def test_names_that_are_there_get_a_number() -> None:
    assert unique(["a", "A", "b", "a", "a-2"]) == ["a", "A-2", "b", "a-3", "a-2-2"]


def test_the_bar_goes_over_all_pictures(sheet: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """In pixels evaluated, whatever has stopped early."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    seen: list[tuple[int, int]] = []
    show = sheet_run._Bar.show

    def watched(bar: sheet_run._Bar, *arguments: Any) -> None:
        show(bar, *arguments)
        seen.append((int(bar._bar.n), int(bar._bar.total)))

    monkeypatch.setattr(sheet_run._Bar, "show", watched)
    assert "left" in sheet().err
    pixels = 48 * 40
    assert seen == [(n * pixels, 8 * pixels) for n in range(1, 9)]


def test_a_painting_of_a_folder_that_cannot_be_read_leaves_its_place_empty(
    command: Command,
) -> None:
    Path("art").mkdir()
    noise(seed=1).save("art/a.png")
    Path("art/b.png").write_bytes(b"no painting")
    os.mkfifo("art/c.png")
    done = command("sheet", "c.png", "art", "-p", "q.yaml", "-o", "out.png")
    assert done.err.splitlines()[:2] == [
        "1 of 2: out/a.png",
        "b: art/b.png is not an image that can be read",
    ]
    assert done.err.endswith("Error: 1 of 2 pictures could not be made: b\n")
    assert done.code == 1
    assert "a.png" in Path("out/index.html").read_text()
    assert Path("out.png").exists()


def test_a_name_that_is_no_utf_8_keeps_the_index(command: Command) -> None:
    os.rename("s.png", b"caf\xe9.png")  # noqa: PTH104
    done = command("sheet", "c.png", os.fsdecode(b"caf\xe9.png"), "-p", "q.yaml", "-o", "out.png")
    assert done.code == 0
    assert "<figcaption>caf\\xe9<" in Path("out/index.html").read_text()


def test_a_sheet_that_its_format_cannot_hold_is_refused(command: Command) -> None:
    Path("art").mkdir()
    noise(seed=1).save("art/a.png")
    options = ("--set", "beta=1,2,3,4,5,6,7,8", "--cell", "2048", "-p", "q.yaml")
    done = command("sheet", "c.png", "art", *options, "-o", "out.webp")
    assert done.err == (
        "Error: out.webp: sides in a .webp file have at most 16383 pixels (not 18492 x 2106); "
        "name a .png or .tif file\n"
    )
    assert done.code == 2
