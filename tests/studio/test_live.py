"""A transfer step by step: what is reported, and what can be asked of it meanwhile."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tifffile
from PIL import Image

from styleforge.core.errors import UsageError
from styleforge.images.load import load_image
from styleforge.jobs.recipe import TransferRecipe, Turn, load_recipe
from styleforge.jobs.styles import Painting
from styleforge.jobs.transfer import TransferRequest
from styleforge.presets.transfer import load_preset
from styleforge.studio.live import (
    Artist,
    Change,
    Clock,
    GoOn,
    Painted,
    Pause,
    Plan,
    Planned,
    Refused,
    Step,
    Stop,
)
from styleforge.studio.shelf import Shelf
from tests.jobs.test_turns import PAINTERLY, QUICK
from tests.pictures import noise


class Script:
    """A line whose commands come after so many steps."""

    def __init__(self, commands: dict[int, list[Any]]) -> None:
        self.sent: list[Any] = []
        self._commands = commands
        self._due: list[Any] = []

    def send(self, record: Any) -> None:
        self.sent.append(record)
        if isinstance(record, Step):
            self._due = self._commands.get(record.evaluations, [])

    def recv(self) -> Any:
        return self._due.pop(0)

    def poll(self) -> bool:
        return bool(self._due)


@pytest.fixture
def request_(tmp_path: Path) -> TransferRequest:
    noise(48, 48).save(tmp_path / "c.png")
    noise(40, 48, seed=1).save(tmp_path / "a.png")
    return TransferRequest(
        photo=tmp_path / "c.png",
        paintings=[Painting(tmp_path / "a.png")],
        preset_name="gram",
        preset=load_preset("gram", QUICK),
        output=str(tmp_path / "out.png"),
        device="cpu",
    )


Paint = Callable[..., tuple[Script, Any]]


@pytest.fixture
def paint(request_: TransferRequest) -> Paint:
    def painted(commands: dict[int, list[Any]], **fields: Any) -> tuple[Script, Any]:
        line = Script(commands)
        request = TransferRequest(**{**vars(request_), **fields})
        return line, Artist(line).do(request)

    return painted


def test_every_step_arrives_with_its_picture(paint: Paint, tmp_path: Path) -> None:
    line, done = paint({})
    assert [step.evaluations for step in line.sent] == [1, 2, 3, 4, 5]
    assert [round(step.share, 2) for step in line.sent] == [0.2, 0.4, 0.6, 0.8, 1.0]
    assert line.sent[-1].left == 0
    assert (line.sent[0].size, line.sent[0].scale, line.sent[0].scales) == ((40, 40), 1, 1)
    assert Image.open(io.BytesIO(line.sent[0].frame)).size == (40, 40)
    assert (done.name, done.stopped) == ("out.png", False)
    assert Image.open(tmp_path / "out.png").size == (40, 40)


def test_both_files_hold_the_same_picture_and_say_how_it_was_made(
    paint: Paint, tmp_path: Path
) -> None:
    paint({})
    deep = tifffile.imread(tmp_path / "out.tif")
    assert deep.dtype == "uint16"
    levels = load_image(tmp_path / "out.png").pixels[0].permute(1, 2, 0).numpy() * 65535
    assert abs(deep.astype(float) - levels).max() <= 129  # half of what 8 bits can tell apart
    assert load_recipe(tmp_path / "out.png").depth == 8  # type: ignore[union-attr]
    assert load_recipe(tmp_path / "out.tif").depth == 16  # type: ignore[union-attr]


def test_stop_keeps_the_picture_so_far(paint: Paint, tmp_path: Path) -> None:
    line, done = paint({3: [Stop()]})
    assert (len(line.sent), done.stopped) == (3, True)
    recipe = load_recipe(tmp_path / "out.png")
    assert isinstance(recipe, TransferRecipe)
    assert recipe.evaluations == 3


def test_a_change_is_in_the_recipe(paint: Paint, tmp_path: Path) -> None:
    line, _ = paint({2: [Change({"strength": 0.9}), Change({"strength": 0.8, "colors": "style"})]})
    assert [step.evaluations for step in line.sent] == [1, 2, 3, 4, 5, 6, 7]
    recipe = load_recipe(tmp_path / "out.png")
    assert isinstance(recipe, TransferRecipe)
    assert recipe.turns == [Turn(2, {"strength": 0.8})]


def test_a_change_that_cannot_be_is_refused_and_the_run_goes_on(paint: Paint) -> None:
    line, done = paint({2: [Change({"strength": 7}), Change({"size": 9})]})
    refused = [record.message for record in line.sent if isinstance(record, Refused)]
    assert (
        refused[0] == "what was changed: strength: input should be less than or equal to 1 (not 7)"
    )
    assert refused[1].startswith("size stays as it is while a transfer runs")
    assert isinstance(done, Painted)


def test_a_pause_waits_for_what_comes_next(paint: Paint) -> None:
    line, done = paint({2: [Pause(), Change({"strength": 0.7}), Pause(), GoOn()]})
    assert len(line.sent) == 7
    line, done = paint({2: [Pause(), Stop()]}, force=True)
    assert (len(line.sent), done.stopped) == (2, True)


def test_a_plan_says_what_it_takes_and_leaves_nothing(
    request_: TransferRequest, tmp_path: Path
) -> None:
    before = {*tmp_path.iterdir()}
    planned = Artist(Script({})).do(Plan(request_))
    assert isinstance(planned, Planned)
    assert (planned.size, planned.evaluations, planned.tile) == ((40, 40), 5, None)
    assert planned.seconds > 0
    assert planned.memory > 2**20
    assert {*tmp_path.iterdir()} == before


def test_the_network_serves_the_next_job_and_the_rest_is_forgotten(
    request_: TransferRequest,
) -> None:
    artist = Artist(Script({}))
    artist.do(request_)
    first = artist._last
    assert first is not None
    assert first.studio._targets._known == {}
    artist.do(TransferRequest(**{**vars(request_), "force": True}))
    assert artist._last is not None
    assert artist._last.studio.network is first.studio.network


def test_what_cannot_be_painted_is_said(paint: Paint, tmp_path: Path) -> None:
    (tmp_path / "out.png").write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"out.png exists"):
        paint({})


@pytest.mark.slow
def test_the_sources_are_on_the_shelf(paint: Paint, tmp_path: Path) -> None:
    preset = load_preset("painterly", PAINTERLY)
    paint({}, preset=preset, preset_name="painterly")
    sources = Shelf(tmp_path).sources("out.png")
    assert sources == json.loads((tmp_path / "sources" / "out.json").read_text())
    assert sources is not None
    count = sources["rows"] * sources["columns"]
    assert [len(sources[key]) for key in ("style", "x", "y")] == [count] * 3
    assert {*sources["style"]} == {0}
    assert all(0 <= v <= 1 for v in sources["x"] + sources["y"])


def test_a_clock_does_not_run_in_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("styleforge.studio.live.time.perf_counter", lambda: now)
    clock = Clock()
    now = 3.0
    clock.pause()
    now = 10.0
    assert clock.seconds == 3.0
    assert clock.anew().paused
    clock.go_on()
    now = 12.0
    clock.go_on()
    assert clock.seconds == 5.0
