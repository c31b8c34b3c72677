"""What somebody meets who has just installed it."""

from __future__ import annotations

import io
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from styleforge.cli import progress
from styleforge.core.errors import INTERRUPTED
from styleforge.images import load
from styleforge.jobs.recipe import StylizeRecipe, TransferRecipe, load_recipe
from tests.cli.conftest import Command


def test_pictures_alone_are_a_transfer(command: Command) -> None:
    assert command("c.png", "s.png", "-p", "p.yaml", "-o", "out.png").code == 0
    assert Path("out.png").is_file()


def test_a_picture_that_is_not_there_is_no_command(command: Command) -> None:
    done = command("phto.jpg", "s.png")
    assert (done.code, done.err) == (2, "Error: no such file: phto.jpg\n")


def test_a_word_that_is_no_command(command: Command) -> None:
    done = command("transfr", "c.png", "s.png")
    assert done.code == 2
    assert done.err == "Error: No such command 'transfr'. Did you mean 'transfer', 'train'?\n"


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("transfer", "c.png", "s.png", "-p", "p.yaml"), "c_s"),
        (("stylize", "c.png", "--style", "mosaic"), "c_mosaic"),
        pytest.param(
            *(("texture", "s.png", "-n", "1", "-s", "48"), "s_48x48"), marks=pytest.mark.slow
        ),
        (("dream", "c.png", "-n", "1", "-s", "48"), "c_conv5_1"),
        (("reconstruct", "content", "c.png", "--layer", "conv1_1", "-n", "1"), "c_conv1_1"),
        (("inspect", "c.png", "-s", "48"), "c_conv4_2"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_default_names_never_block(command: Command, arguments: tuple[str, ...], name: str) -> None:
    taken = Path(f"{name}.png"), Path(f"{name}_2.png")
    for file in taken:
        file.touch()
    assert f"Saved {name}_3.png" in command(*arguments).err
    assert [file.stat().st_size for file in taken] == [0, 0]
    assert f"Saved {name}.png" in command(*arguments, "--force").err
    assert taken[0].stat().st_size > 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("transfer", "no.png", "no.png"),
        ("stylize", "no.png", "--style", "mosaic"),
        ("texture", "no.png"),
        ("dream", "no.png"),
        ("reconstruct", "style", "no.png"),
        ("inspect", "no.png"),
        ("sheet", "no.png", "no.png"),
        ("rerun", "no.png"),
    ],
    ids=" ".join,
)
def test_an_output_that_exists_is_known_before_anything_is_read(
    command: Command, arguments: tuple[str, ...]
) -> None:
    done = command(*arguments, "-o", "c.png")
    assert (done.code, done.err) == (2, "Error: c.png exists; use --force to overwrite it\n")


@pytest.mark.parametrize("kind", ["transfer", "sheet"])
def test_a_dry_run_does_not_mind_what_exists(command: Command, kind: str) -> None:
    Path("c_s.png").write_bytes(b"mine")
    plan = command(kind, "c.png", "s.png", "-p", "p.yaml", "-o", "c_s.png", "--dry-run")
    assert plan.code == 0
    assert "output   c_s.png" in plan.text
    if kind == "transfer":
        plan = command(kind, "c.png", "s.png", "-p", "p.yaml", "--dry-run")
        assert "output   c_s_2.png" in plan.text
    assert Path("c_s.png").read_bytes() == b"mine"


def test_it_says_at_once_what_it_does_and_then_where_to(command: Command) -> None:
    done = command("transfer", "c.png", "s.png", "-p", "p.yaml")
    assert done.begun[0] == "transfer: c.png after s.png, preset p.yaml"
    assert re.fullmatch(r"transfer: to c_s.png, on cpu \(.*\)", done.begun[1])
    done = command("stylize", "c.png", "--style", "mosaic", "-o", "-")
    assert done.begun[0] == "stylize: c.png by mosaic"
    assert re.fullmatch(r"stylize: to standard output, on cpu \(.*\)", done.begun[1])
    assert command("transfer", "c.png", "s.png", "-p", "p.yaml", "-q").begun == []


TRANSFER = """
import sys
print("started", flush=True)
sys.argv = ["styleforge", "transfer", "c.png", "s.png", "-o", "out.png"]
from styleforge.__main__ import main
main()
"""


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
def test_the_first_line_comes_before_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None; "
        "sys.argv = ['styleforge', 'transfer', 'c.png', 's.png']; "
        "from styleforge.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.startswith("transfer: c.png after s.png, preset painterly\n")
    assert done.returncode == 1


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("milliseconds", [100, 200, 400, 700, 1000, 1500])
def test_ctrl_c_in_the_first_moments_ends_quietly(milliseconds: int) -> None:
    command = [sys.executable, "-c", TRANSFER]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(milliseconds / 1000)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED
    assert said.splitlines()[-1:] == ["Interrupted."]
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ("stylize", "c.png", "--style", "mosaic", "-o", "my out.png"),
            "styleforge info 'my out.png' shows how it was made, "
            "styleforge rerun 'my out.png' -o FILE repeats it",
        ),
        (
            ("sheet", "c.png", "s.png", "-p", "p.yaml", "-o", "out.png"),
            "styleforge transfer with the settings of the one that you like, and a larger -s",
        ),
        (("stylize", "c.png", "--style", "mosaic", "-o", "-"), ""),
        (("stylize", "c.png", "--style", "mosaic", "-q"), ""),
        (("stylize", "c.png", "--style", "mosaic", "--no-recipe"), ""),
        (("transfer", "c.png", "s.png", "-p", "p.yaml", "--no-recipe"), ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_the_last_line_says_what_may_be_done_next(
    command: Command, arguments: tuple[str, ...], line: str
) -> None:
    assert command(*arguments).next == line


def test_a_batch_shows_one_of_its_pictures_or_goes_on(folder: Path, command: Command) -> None:
    (folder / "photos").mkdir()
    (folder / "c.png").rename(folder / "photos" / "c.png")
    batch = ("batch", "photos", "-o", "out", "--style", "mosaic", "--workers", "1")
    assert command(*batch).next == "styleforge info out/c_mosaic.png shows how it was made"
    (folder / "photos" / "d.png").write_bytes(b"no picture")
    done = command(*batch)
    assert done.err.splitlines()[-1].startswith("0 done, 1 failed, 1 skipped; ")
    assert done.next == "the same command again makes what is missing"


@pytest.mark.parametrize(
    ("code", "said"), [(0, ""), (1, "Warning: there is no viewer to open out.png with\n")]
)
@pytest.mark.parametrize(
    "arguments",
    [
        ("transfer", "c.png", "s.png", "-p", "p.yaml"),
        ("stylize", "c.png", "--style", "mosaic"),
        ("sheet", "c.png", "s.png", "-p", "p.yaml"),
    ],
    ids=lambda arguments: str(arguments[0]),
)
def test_the_result_is_opened_if_so_wished(
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    shown: list[str] = []
    monkeypatch.setattr("typer.launch", lambda path: shown.append(path) or code)
    done = command(*arguments, "-o", "out.png", "-q", "--open")
    assert (done.code, done.err, shown) == (0, said, ["out.png"])


def test_what_is_no_file_cannot_be_opened(command: Command) -> None:
    done = command("stylize", "c.png", "--style", "mosaic", "-o", "-", "--open")
    assert done.code == 2
    assert done.err == "Error: --open needs a file to open, not standard output\n"


def test_an_inspection_suggests_a_dream(command: Command) -> None:
    done = command("inspect", "c.png", "-s", "48")
    assert re.fullmatch(r"Saved c_conv4_2.png in \d+\.\d s\n", done.err)
    assert re.fullmatch(r"styleforge dream c.png --layer conv4_2 --channel \d+", done.next)


def test_without_a_terminal_there_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = 0.0
    with progress.bar(100, quiet=False, unit="picture") as shown:
        shown._time = lambda: now
        shown.start_t = shown.last_print_t = now
        for second in range(1, 26):
            now = float(second)
            shown.update()
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "10 of 100 pictures, 00:10, 01:30 left",
        "20 of 100 pictures, 00:20, 01:20 left",
    ]


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> str:
    """Where c.png is said to be."""
    monkeypatch.setattr(load, "content_of", lambda _: Path("c.png").read_bytes())
    return "https://me:secret@example.org/a%20cat.jpg"


@pytest.mark.parametrize(
    "arguments",
    [("transfer", "{}", "s.png", "-p", "p.yaml"), ("stylize", "{}", "--style", "mosaic")],
    ids=lambda arguments: str(arguments[0]),
)
def test_a_photo_at_an_address(command: Command, address: str, arguments: tuple[str, ...]) -> None:
    given = [argument.format(address) for argument in arguments]
    done = command(*given, "-q", "--json")
    assert done.code == 0
    assert "secret" not in done.err + done.text
    made = Path(done.json["output"])
    assert made.name.startswith("a cat_")
    assert "secret" not in made.read_bytes().decode("latin-1")
    kept = "https://example.org/a%20cat.jpg"
    again = command("rerun", made, "-o", "again.png")
    assert again.code == 2
    assert again.err == (
        f"Error: {made} was made from {kept}; name a file with the same in it with --content\n"
    )
    for there in (kept, "c.png"):
        assert command("rerun", made, "-o", "again.png", "-f", "--content", there).code == 0
        assert same_pixels(made, Path("again.png"))


def same_pixels(first: Path, second: Path) -> bool:
    return bool(load.load_image(first).pixels.equal(load.load_image(second).pixels))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("texture", "{}", "-n", "1", "-s", "48"), "a cat_48x48.png"),
        (("dream", "{}", "-n", "1", "-s", "48", "--layer", "conv1_1"), "a cat_conv1_1.png"),
        (
            ("reconstruct", "content", "{}", "--layer", "conv1_1", "-n", "1", "-s", "48"),
            "a cat_conv1_1.png",
        ),
        (("inspect", "{}", "-s", "48", "--layer", "conv1_1"), "a cat_conv1_1.png"),
        (("styles", "{}", "-s", "48"), "a cat_styles.png"),
    ],
    ids=lambda value: str(value[0]) if isinstance(value, tuple) else "",
)
def test_other_pictures_at_addresses(
    command: Command, address: str, arguments: tuple[str, ...], name: str
) -> None:
    done = command(*(argument.format(address) for argument in arguments))
    assert done.code == 0, done.err
    assert Path(name).is_file()
    assert "secret" not in done.err + "".join(done.begun) + done.next
    if arguments[0] in ("inspect", "styles"):
        return
    again = command("rerun", name, "-o", "again.png")
    assert again.code == 2
    assert again.err == (
        f"Error: {name} was made from https://example.org/a%20cat.jpg; "
        "name a file with the same in it with --content\n"
    )
    assert command("rerun", name, "-o", "again.png", "--content", "c.png").code == 0
    assert same_pixels(Path(name), Path("again.png"))


def test_paintings_at_addresses_with_weights(command: Command, address: str) -> None:
    named = ("transfer", "c.png", f"{address}:2", "s.png:1@conv1_1", "-p", "p.yaml", "-o", "o.png")
    assert command(*named).code == 0
    recipe = load_recipe(Path("o.png"))
    assert isinstance(recipe, TransferRecipe)
    assert [(one.path, one.weight) for one in recipe.styles] == [
        ("https://example.org/a%20cat.jpg", 2),
        ("s.png", 1),
    ]


def test_the_first_line_names_an_address_without_a_password(command: Command, address: str) -> None:
    done = command(address, "s.png", "-p", "p.yaml", "-o", "o.png")
    assert done.begun[0] == ("transfer: https://example.org/a%20cat.jpg after s.png, preset p.yaml")


def test_a_photo_on_standard_input(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    content = Path("c.png").read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert command("stylize", "-", "--style", "mosaic").code == 0
    recipe = load_recipe(Path("stdin_mosaic.png"))
    assert isinstance(recipe, StylizeRecipe)
    assert recipe.content.path == "-"
    assert command("stylize", "c.png", "--style", "mosaic", "-o", "file.png").code == 0
    assert same_pixels(Path("stdin_mosaic.png"), Path("file.png"))
