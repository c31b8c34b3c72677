"""Settings that are changed while a transfer runs, and the recipe that tells of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from styleforge.core.errors import UsageError
from styleforge.jobs.recipe import TransferRecipe, Turn, load_recipe
from styleforge.jobs.rerun import Again, transfer_again
from styleforge.jobs.styles import Painting
from styleforge.jobs.transfer import TransferJob, TransferRequest, TransferRun
from styleforge.optimize.scales import Scale, Stage
from styleforge.presets.transfer import load_preset
from styleforge.transfers.schedule import rest
from tests.pictures import noise

QUICK = {
    "network.normalized": False,
    "content.layers": {"conv1_1": 1.0},
    "style.layers": {"conv1_1": 1.0},
    "optimizer.steps": 4,
    "scales": None,
    "size": 40,
}
"""Of the preset gram."""

PAINTERLY = {
    "size": 48,
    "optimizer.steps": 4,
    "scales.start": 32,
    "scales.steps": 2,
    "neighbors.hypercolumns": 40,
    "neighbors.rounds": 2,
    "strength": 0.7,
}
"""A sketch of 4 steps at 32 pixels, 2 more there, and two rounds of 2 steps: 14 evaluations."""


@pytest.fixture
def request_(tmp_path: Path) -> TransferRequest:
    noise(48, 48).save(tmp_path / "c.png")
    for name, seed in (("a", 1), ("b", 2)):
        noise(40, 48, seed=seed).save(tmp_path / f"{name}.png")
    return TransferRequest(
        photo=tmp_path / "c.png",
        paintings=[Painting(tmp_path / "a.png"), Painting(tmp_path / "b.png", 0.5)],
        preset_name="gram",
        preset=load_preset("gram", QUICK),
        output=str(tmp_path / "out.png"),
    )


def run_with(request: TransferRequest, turns: dict[int, tuple[dict[str, Any], list[float]]]) -> Any:
    """The run, turned after so many evaluations, and to its end or as far as the last of them."""
    run = TransferJob.prepare(request).start()
    for progress in run:
        settings, weights = turns.get(progress.evaluations, (None, []))
        if settings is not None:
            run.turn(settings, weights)
    return run


def again(path: Path) -> TransferRun:
    recipe = load_recipe(path)
    assert isinstance(recipe, TransferRecipe)
    return transfer_again(recipe, Again(path, str(path.with_name("again.png")))).start()


def check_rerun(request: TransferRequest, turns: Any) -> None:
    """A rerun turns where the run turned, and makes the same picture."""
    run = run_with(request, turns)
    result = run.result()
    assert [turn.evaluations for turn in run.turns] == [*turns]
    result.save(Path(request.output or ""))
    once_more = again(Path(request.output or ""))
    for _ in once_more:
        pass
    assert once_more.result().pixels.equal(result.pixels)
    assert once_more.result().recipe == result.recipe


@pytest.mark.parametrize(
    "turns",
    [
        {2: ({"strength": 0.9}, []), 4: ({"style.scale": 1.5}, [1.0, 3.0])},
        {5: ({"colors": "luminance"}, [])},
    ],
    ids=["twice", "at the end"],
)
def test_a_rerun_turns_where_the_run_turned(request_: TransferRequest, turns: Any) -> None:
    check_rerun(request_, turns)


@pytest.mark.slow
@pytest.mark.parametrize(
    "turns",
    [
        {3: ({"strength": 0.4}, []), 9: ({"style.scale": 1.5}, [])},
        {6: ({"colors": "luminance"}, [1.0, 3.0])},
        {2: ({"strength": 0.0}, []), 6: ({"strength": 1.0}, [])},
    ],
    ids=["strength, then scale", "luminance and weights", "nothing, then all"],
)
def test_a_rerun_turns_through_sketch_and_neighbors(request_: TransferRequest, turns: Any) -> None:
    preset = load_preset("painterly", PAINTERLY)
    check_rerun(replace(request_, preset_name="painterly", preset=preset), turns)


def test_a_turned_run_makes_another_picture(request_: TransferRequest) -> None:
    turned = run_with(request_, {2: ({"strength": 0.9}, [])}).result()
    request = replace(request_, output="-")
    plain = run_with(request, {}).result()
    assert not plain.pixels.equal(turned.pixels)
    assert plain.recipe == replace(turned.recipe, turns=[])


def test_a_run_goes_on_from_the_picture_so_far(request_: TransferRequest) -> None:
    run = TransferJob.prepare(request_).start()
    records = iter(run)
    for _ in range(4):
        before = next(records)
    image = before.iterate.image().clone()
    run.turn({"strength": 0.2})
    after = next(records)
    assert (after.evaluations, after.step, after.scale) == (5, 0, before.scale)
    assert (after.iterate.image() - image).abs().max() < 2e-3


def test_a_stopped_run_is_repeated_as_far_as_it_came(request_: TransferRequest) -> None:
    run = TransferJob.prepare(request_).start()
    for progress in run:
        if progress.evaluations == 3:
            break
    run.result().save(Path(request_.output or ""))
    once_more = again(Path(request_.output or ""))
    assert [progress.evaluations for progress in once_more] == [1, 2, 3]
    assert once_more.result().pixels.equal(run.result().pixels)
    assert once_more.result().recipe == run.result().recipe


@pytest.mark.parametrize(
    ("settings", "mixed", "message"),
    [
        (
            {"size": 64},
            [],
            "size stays as it is while a transfer runs; strength, style.scale, colors and the "
            "paintings' weights can be changed",
        ),
        (
            {"strength": 2},
            [],
            "what was changed: strength: input should be less than or equal to 1 (not 2)",
        ),
        ({}, [1.0], "there is one weight for each painting, and all are positive"),
        ({}, [1.0, 0.0], "there is one weight for each painting, and all are positive"),
    ],
)
def test_what_cannot_be_changed(
    request_: TransferRequest, settings: dict[str, Any], mixed: list[float], message: str
) -> None:
    run = TransferJob.prepare(request_).start()
    with pytest.raises(UsageError) as raised:
        run.turn(settings, mixed)
    assert str(raised.value) == message


def test_what_is_so_already_is_no_turn(request_: TransferRequest) -> None:
    run = TransferJob.prepare(request_).start()
    for progress in run:
        if progress.evaluations == 1:
            run.turn({"strength": 0.5, "style.scale": 1.0, "colors": "style"}, [1.0, 0.5])
        elif progress.evaluations == 2:
            run.turn({"strength": 0.5, "style.scale": 2.0}, [1.0, 0.5])
    assert run.turns == [Turn(2, {"style.scale": 2.0})]


def test_recipes_without_turns_say_nothing_of_them(request_: TransferRequest) -> None:
    run = TransferJob.prepare(request_).start()
    recipe = run.job.recipe(run.painter.template)
    assert not {"turns", "evaluations"} & set(recipe.to_dict())
    told = replace(recipe, turns=[Turn(3, {"strength": 0.4})], evaluations=7).to_dict()
    assert told["turns"] == [{"evaluations": 3, "settings": {"strength": 0.4}, "weights": []}]
    assert told["evaluations"] == 7


def test_what_is_left_of_a_plan() -> None:
    sketch = Scale((64, 48), 8)
    together = [Scale((side, side * 3 // 4), 4, Stage.HYPERCOLUMNS) for side in (32, 64)]
    alone = [Scale((128, 96), 2, Stage.LAYERS), Scale((128, 96), 2, Stage.LAYERS, (5, 3))]
    whole = [sketch, *together, *alone]
    assert rest(whole, whole, together[1]) == [together[1], *alone]
    assert rest([*together, *alone], whole, alone[1]) == [alone[1]]
    assert rest([*together, *alone], whole, sketch) == [together[1], *alone]
    plain = [Scale((64, 48), 4), Scale((128, 96), 4)]
    assert rest(plain, whole, alone[0]) == [plain[1]]
