from __future__ import annotations

import os
from pathlib import Path

import pytest

from styleforge.batches.sources import Source, Task, find_sources, natural, plan_tasks
from styleforge.core.errors import UsageError

OUT = Path("out")


@pytest.fixture(autouse=True)
def _workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def touch(*names: str) -> None:
    """Empty files; a batch's plan looks at names alone."""
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def found(*inputs: str, recursive: bool = False, output: Path = OUT) -> list[str]:
    return [str(s.path) for s in find_sources(inputs, output, recursive=recursive)]


def targets(*names: str, styles: tuple[str, ...] = ("cafe",), name: str = "") -> list[str]:
    sources = [Source(Path(path)) for path in names]
    tasks = plan_tasks(sources, styles, OUT, **({"name": name} if name else {}))
    return [str(task.target) for task in tasks]


def mistake(*inputs: str, recursive: bool = False, output: Path = OUT) -> str:
    with pytest.raises(UsageError) as caught:
        find_sources(inputs, output, recursive=recursive)
    return str(caught.value)


def test_numbers_in_names_are_in_their_order() -> None:
    names = ["frame_10.png", "frame_2.png", "2b", "10a", "frame_002b.png", "", "frame", "²1", "²"]
    assert sorted(names, key=natural) == [
        *("", "2b", "10a", "frame", "frame_2.png", "frame_002b.png", "frame_10.png", "²", "²1"),
    ]


def test_a_folders_pictures_are_found_in_natural_order() -> None:
    touch("p/f10.png", "p/f9.JPG", "p/f1.webp", "p/notes.txt", "p/below/x.jpg", "p/.hidden.jpg")
    assert found("p") == ["p/f1.webp", "p/f9.JPG", "p/f10.png"]


def test_folders_below_are_mirrored() -> None:
    touch("p/a.jpg", "p/two/b.jpg", "p/ten/deep/c.jpg", "p/.trash/d.jpg", "p/two/.e/f.jpg")
    sources = find_sources(["p"], OUT, recursive=True)
    assert [(str(s.path), str(s.folder)) for s in sources] == [
        ("p/a.jpg", "."),
        ("p/ten/deep/c.jpg", "ten/deep"),
        ("p/two/b.jpg", "two"),
    ]
    tasks = plan_tasks(sources, ["cafe"], OUT)
    assert [str(task.target) for task in tasks] == [
        *("out/a_cafe.jpg", "out/ten/deep/c_cafe.jpg", "out/two/b_cafe.jpg"),
    ]


def test_patterns_name_files_and_folders() -> None:
    touch("p/f10.png", "p/f9.png", "p/f1.jpg", "q/r/a.png", "q/s/b.png")
    assert found("p/*.png") == ["p/f9.png", "p/f10.png"]
    assert found("q/*") == ["q/r/a.png", "q/s/b.png"]
    assert found("**/*.png") == ["p/f9.png", "p/f10.png", "q/r/a.png", "q/s/b.png"]
    assert found("p/f?.jpg", "p/*") == ["p/f1.jpg", "p/f9.png", "p/f10.png"]


def test_a_name_that_could_be_a_pattern_is_a_name_if_it_is_there() -> None:
    touch("a[1].jpg", "a1.jpg", "[b]/c.jpg")
    assert found("a[1].jpg") == ["a[1].jpg"]
    assert found("[b]") == ["[b]/c.jpg"]


def test_a_file_that_is_named_is_read_whatever_its_suffix() -> None:
    touch("scan", "page.xyz")
    assert found("scan", "page.xyz") == ["scan", "page.xyz"]


def test_every_picture_is_read_once() -> None:
    touch("p/a.jpg", "p/b.jpg")
    assert found("p/b.jpg", "p", "p/../p/a.jpg", str(Path("p").resolve())) == ["p/b.jpg", "p/a.jpg"]


def test_two_names_of_one_file_are_two_pictures() -> None:
    """A frame that stands still is often a link to the one before."""
    touch("p/f1.png")
    Path("p/f2.png").symlink_to("f1.png")
    assert found("p") == ["p/f1.png", "p/f2.png"]


def test_a_link_to_nowhere_is_a_picture_to_report_and_a_folder_is_none() -> None:
    touch("p/a.jpg")
    Path("p/gone.jpg").symlink_to("nowhere.jpg")
    Path("p/folder.jpg").mkdir()
    os.mkfifo("p/pipe.jpg")
    assert found("p") == ["p/a.jpg", "p/gone.jpg"]
    assert found("p/gone.jpg") == ["p/gone.jpg"]


def test_what_lies_in_the_output_folder_is_never_read() -> None:
    touch("p/a.jpg", "p/out/a_cafe.jpg", "p/out/deep/b_cafe.jpg", "p/link/c.jpg")
    Path("p/d.jpg").symlink_to("out/a_cafe.jpg")
    assert found("p", recursive=True, output=Path("p/out")) == ["p/a.jpg", "p/link/c.jpg"]
    assert found("p/**/*.jpg", output=Path("p/out/../out")) == ["p/a.jpg", "p/link/c.jpg"]


def test_names_with_spaces_quotes_emoji_and_newlines() -> None:
    names = [
        "a  b.jpg",
        "it's.jpg",
        'say "x".jpg',
        "🐈.jpg",
        "two\nlines.jpg",
        "{stem}.jpg",
        "-n.jpg",
    ]
    touch(*(f"p/{name}" for name in names))
    assert sorted(found("p")) == sorted(f"p/{name}" for name in names)
    assert targets(*(f"p/{name}" for name in names)) == [
        f"out/{Path(name).stem}_cafe.jpg" for name in names
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "no such file or folder: nowhere"),
        ("nowhere/a.jpg", "no such file or folder: nowhere/a.jpg"),
        ("*.gif", "no pictures in *.gif"),
        ("empty", "no pictures in empty; `recursive` looks below it"),
        ("out", "out is also an input; choose another folder for the output"),
        ("./out/", "out is also an input; choose another folder for the output"),
        (
            "out/a.jpg",
            "out/a.jpg has no pictures outside of the output, out; choose another folder",
        ),
        (
            "out/below",
            "out/below has no pictures outside of the output, out; choose another folder",
        ),
    ],
)
def test_an_input_that_cannot_be_read(name: str, message: str) -> None:
    touch("empty/notes.txt", "out/a.jpg", "out/below/b.jpg")
    assert mistake(name) == message


def test_a_folder_without_pictures_even_below() -> None:
    touch("empty/deep/notes.txt")
    assert mistake("empty", recursive=True) == "no pictures in empty"


def test_every_picture_in_every_style_one_style_after_the_other() -> None:
    tasks = plan_tasks([Source(Path("p/a.jpg")), Source(Path("p/b.png"))], ["cafe", "sea"], OUT)
    assert tasks == [
        Task(Path("p/a.jpg"), 0, OUT / "a_cafe.jpg"),
        Task(Path("p/b.png"), 0, OUT / "b_cafe.png"),
        Task(Path("p/a.jpg"), 1, OUT / "a_sea.jpg"),
        Task(Path("p/b.png"), 1, OUT / "b_sea.png"),
    ]


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("a.JPG", "a_cafe.jpg"),
        ("a.jpeg", "a_cafe.jpeg"),
        ("a.webp", "a_cafe.webp"),
        ("a.tif", "a_cafe.tif"),
        ("a.bmp", "a_cafe.png"),
        ("a.gif", "a_cafe.png"),
        ("a", "a_cafe.png"),
        (".jpg", ".jpg_cafe.png"),
    ],
)
def test_a_result_has_its_sources_format_if_that_can_be_written(source: str, target: str) -> None:
    assert targets(source) == [f"out/{target}"]


def test_patterns_of_names() -> None:
    assert targets("a.bmp", "b.JPG", name="{style}/{number:03}-{stem}-{suffix}{ext}") == [
        "out/cafe/001-a-bmp.png",
        "out/cafe/002-b-jpg.jpg",
    ]
    assert targets("a.jpg", styles=("x", "y"), name="{style}.tif") == ["out/x.tif", "out/y.tif"]


KNOWN = "it can hold {stem}, {style}, {ext}, {suffix}, {number}"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{foo}.png", f"`name` '{{foo}}.png' is not a pattern; {KNOWN}"),
        ("{}.png", f"`name` '{{}}.png' is not a pattern; {KNOWN}"),
        ("{stem.png", f"`name` '{{stem.png' is not a pattern; {KNOWN}"),
        ("{stem.x}.png", f"`name` '{{stem.x}}.png' is not a pattern; {KNOWN}"),
        ("{stem[x]}.png", f"`name` '{{stem[x]}}.png' is not a pattern; {KNOWN}"),
        ("{number:x y}.png", f"`name` '{{number:x y}}.png' is not a pattern; {KNOWN}"),
        ("../{stem}.png", "`name` leads out of out: out/../a.png"),
        ("b/../../{stem}.png", "`name` leads out of out: out/b/../../a.png"),
        ("/{stem}.png", "`name` leads out of out: /a.png"),
        (
            "{stem}",
            "out/a: no format that can be written; "
            "end `name` in one of .png, .jpg, .jpeg, .webp, .tif, .tiff",
        ),
        (
            "{stem}.gif",
            "out/a.gif: no format that can be written; "
            "end `name` in one of .png, .jpg, .jpeg, .webp, .tif, .tiff",
        ),
    ],
)
def test_a_pattern_that_is_none(name: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        targets("a.jpg", name=name)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("sources", "styles", "name", "clash", "told"),
    [
        (("p/a.jpg", "q/a.jpg"), ("x",), "", "out/a_x.jpg", "number"),
        (("A.jpg", "a.jpg"), ("x",), "", "out/a_x.jpg", "number"),
        (("a.bmp", "a.png"), ("x",), "", "out/a_x.png", "suffix"),
        (("a.png", "a.jpg"), ("x",), "{stem}.png", "out/a.png", "suffix"),
        (("a.png", "a.png"), ("x",), "", "out/a_x.png", "number"),
        (("a_x.png", "a.png"), ("y", "x_y"), "", "out/a_x_y.png", "number"),
    ],
)
def test_two_results_in_one_place_are_refused(
    sources: tuple[str, ...], styles: tuple[str, ...], name: str, clash: str, told: str
) -> None:
    with pytest.raises(UsageError) as caught:
        targets(*sources, styles=styles, name=name)
    first, second = sources
    assert str(caught.value) == (
        f"{first} and {second} would both become {clash}; "
        f'tell them apart with `name`, such as "{{stem}}_{{{told}}}_{{style}}{{ext}}"'
    )
    assert len(set(targets(*sources, name=f"{{stem}}_{{{told}}}_{{style}}{{ext}}"))) == 2


def test_files_that_differ_only_in_extension_do_not_clash() -> None:
    assert targets("a.jpg", "a.png", "a.webp") == [
        *("out/a_cafe.jpg", "out/a_cafe.png", "out/a_cafe.webp"),
    ]
