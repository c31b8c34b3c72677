from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from styleforge.batches import local
from styleforge.batches.engines import Split
from styleforge.batches.local import cores, fastest_split, first_paintable, run_local
from styleforge.batches.plan import Batch, Painters
from styleforge.batches.work import Outcome
from styleforge.images.load import Picture, load_image
from styleforge.jobs.painters import NetworkPainter
from styleforge.jobs.recipe import TransferRecipe, load_recipe
from styleforge.jobs.styles import OptimizedStyle, TrainedStyle
from tests.batches.conftest import CPU, MakeBatch, contents, write_photos

ONE = Split(1, 1)


def run(batch: Batch, split: Split = ONE, **options: Callable[[], bool]) -> list[Outcome]:
    painters = [Painters(batch, CPU, workers=split.workers)]
    return list(run_local(batch, painters, split, **options))


def statuses(outcomes: list[Outcome]) -> dict[str, str]:
    return {outcome.task.target.name: outcome.status for outcome in outcomes}


@pytest.mark.slow
def test_every_task_has_one_outcome(
    trained: TrainedStyle, make_batch: MakeBatch, workplace: Path
) -> None:
    write_photos(workplace / "photos", 5)
    (workplace / "photos" / "photo3.png").write_bytes(b"no picture")
    batch = make_batch([trained, replace(trained, name="harvest", styles={"harvest": 1.0})])
    outcomes = run(batch, Split(2, 1))
    assert len(outcomes) == 10
    assert {o.task for o in outcomes} == set(batch.tasks)
    failed = [o for o in outcomes if o.status == "failed"]
    assert {o.reason for o in failed} == {"photos/photo3.png is not an image that can be read"}
    assert len(failed) == 2
    assert len(contents(workplace / "out")) == 8
    again = run(batch, Split(2, 1))
    assert [o.status for o in again].count("skipped") == 8


@pytest.mark.slow
def test_a_style_that_cannot_be_read_fails_its_pictures(
    trained: TrainedStyle, make_batch: MakeBatch, workplace: Path
) -> None:
    write_photos(workplace / "photos", 1)
    missing = replace(trained, name="sea", model=Path("no.safetensors"))
    outcomes = run(make_batch([missing, trained]))
    assert {o.task.style: (o.status, o.reason) for o in outcomes} == {
        0: ("failed", "no such model file: no.safetensors"),
        1: ("done", ""),
    }


@pytest.mark.slow
def test_several_workers_make_the_bytes_of_one(
    trained: TrainedStyle, optimized: OptimizedStyle, make_batch: MakeBatch, workplace: Path
) -> None:
    write_photos(workplace / "photos", 6)
    for style in (trained, optimized):
        one, three = (make_batch([style], output=f"{style.name}{n}") for n in (1, 3))
        assert {o.status for o in run(one)} == {"done"}
        assert {o.status for o in run(three, Split(3, 1))} == {"done"}
        found, expected = (contents(workplace / f"{style.name}{n}") for n in (3, 1))
        assert found == expected


def test_when_stopped_it_finishes_what_is_in_flight(
    trained: TrainedStyle,
    make_batch: MakeBatch,
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_photos(workplace / "photos", 12)
    started, stop = threading.Event(), threading.Event()
    paint = NetworkPainter.paint

    def watched(*arguments: Any) -> Any:
        started.set()
        assert stop.wait(10)
        return paint(*arguments)

    monkeypatch.setattr(NetworkPainter, "paint", watched)

    def stop_once_begun() -> None:
        assert started.wait(10)
        stop.set()

    threading.Thread(target=stop_once_begun).start()
    outcomes = run(make_batch([trained]), is_stopped=stop.is_set)
    assert {o.status for o in outcomes} == {"done"}
    assert 1 <= len(outcomes) <= 1 + local._READERS
    assert len(contents(workplace / "out")) == len(outcomes)


def test_a_batch_that_is_stopped_before_it_begins_does_nothing(
    trained: TrainedStyle, make_batch: MakeBatch, workplace: Path
) -> None:
    write_photos(workplace / "photos", 2)
    assert run(make_batch([trained]), is_stopped=lambda: True) == []


def test_a_bug_in_a_painter_is_the_outcome_of_its_pictures_and_others_go_on(
    trained: TrainedStyle,
    make_batch: MakeBatch,
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_photos(workplace / "photos", 3)
    whole = NetworkPainter.paint

    def paint(self: NetworkPainter, photo: Picture, before: None = None) -> torch.Tensor:
        if photo.path.stem == "photo2":
            raise ZeroDivisionError("a bug")
        return whole(self, photo, before)

    monkeypatch.setattr(NetworkPainter, "paint", paint)
    outcomes = run(make_batch([trained]))
    assert sorted(outcome.status for outcome in outcomes) == ["done", "done", "failed"]
    (failed,) = (outcome for outcome in outcomes if outcome.status == "failed")
    assert failed.reason == "ZeroDivisionError: a bug (a bug; please report it)"


def test_nobody_paints_once_nobody_listens(
    trained: TrainedStyle, make_batch: MakeBatch, workplace: Path
) -> None:
    write_photos(workplace / "photos", 20)
    batch = make_batch([trained])
    before = threading.active_count()
    outcomes = run_local(batch, [Painters(batch, CPU)], ONE)
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
    assert len(contents(workplace / "out")) < 20


def test_threads_are_set_for_the_painters_and_are_afterwards_as_before(
    trained: TrainedStyle,
    make_batch: MakeBatch,
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_photos(workplace / "photos", 3)
    seen, paint = [], NetworkPainter.paint

    def watched(*arguments: Any) -> Any:
        seen.append(torch.get_num_threads())
        return paint(*arguments)

    monkeypatch.setattr(NetworkPainter, "paint", watched)
    run(make_batch([trained]), Split(1, 3))
    assert seen == [3, 3, 3]
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_no_more_pictures_than_workers_are_painted_at_once(
    trained: TrainedStyle,
    make_batch: MakeBatch,
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
) -> None:
    write_photos(workplace / "photos", 8)
    inside, most, lock, paint = [0], [0], threading.Lock(), NetworkPainter.paint

    def watched(*arguments: Any) -> Any:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        try:
            return paint(*arguments)
        finally:
            with lock:
                inside[0] -= 1

    monkeypatch.setattr(NetworkPainter, "paint", watched)
    run(make_batch([trained]), Split(workers, 1))
    assert 1 <= most[0] <= workers


def test_devices_share_the_tasks(
    trained: TrainedStyle, make_batch: MakeBatch, workplace: Path
) -> None:
    write_photos(workplace / "photos", 6)
    batch = make_batch([trained])
    two = [Painters(batch, CPU), Painters(batch, CPU)]
    assert len(list(run_local(batch, two, ONE))) == 6
    assert len(contents(workplace / "out")) == 6


@pytest.mark.slow
def test_a_sequence_starts_each_picture_from_the_last_result(
    optimized: OptimizedStyle, make_batch: MakeBatch, workplace: Path
) -> None:
    write_photos(workplace / "photos", 4)
    (workplace / "photos" / "photo3.png").write_bytes(b"no picture")
    other = replace(
        optimized, name="t", paintings=[replace(one, weight=2.0) for one in optimized.paintings]
    )
    batch = make_batch([optimized, other], sequence=True)
    outcomes = run(batch)
    assert [o.task for o in outcomes] == list(batch.tasks), "in order"
    starts = {}
    for outcome in outcomes:
        if outcome.status == "done":
            recipe = load_recipe(outcome.task.target)
            assert isinstance(recipe, TransferRecipe)
            starts[outcome.task.target.name] = recipe.init and recipe.init.path
    assert starts == {
        "photo1_s.png": None,
        "photo2_s.png": "out/photo1_s.png",
        "photo4_s.png": "out/photo2_s.png",
        "photo1_t.png": None,
        "photo2_t.png": "out/photo1_t.png",
        "photo4_t.png": "out/photo2_t.png",
    }
    assert statuses(run(batch)) == {
        name: "failed" if "3" in name else "skipped" for name in statuses(outcomes)
    }


@pytest.mark.slow
def test_a_frame_depends_on_the_one_before(
    optimized: OptimizedStyle, make_batch: MakeBatch, workplace: Path
) -> None:
    first, _ = write_photos(workplace / "photos", 2)
    run(make_batch([optimized], output="alone"))
    run(make_batch([optimized], sequence=True))
    alone, chained = (contents(workplace / name) for name in ("alone", "out"))
    assert chained["photo1_s.png"] == alone["photo1_s.png"]
    assert chained["photo2_s.png"] != alone["photo2_s.png"]
    first.write_bytes((workplace / "s.png").read_bytes())
    assert statuses(run(make_batch([optimized], sequence=True))) == {
        "photo1_s.png": "done",
        "photo2_s.png": "done",
    }, "another first frame makes another second"


class TimedPainter:
    """Its probe takes so long with so many threads."""

    device = CPU

    def __init__(self, seconds: dict[int, float]) -> None:
        self.seconds = seconds
        self.now = 0.0
        self.probed: list[int] = []
        self._lock = threading.Lock()

    def probe(self, _: Picture) -> Callable[[], object]:
        def work() -> None:
            with self._lock:
                threads = torch.get_num_threads()
                self.probed.append(threads)
                self.now += self.seconds[threads] * threads / 4  # its share of four cores

        return work


@pytest.fixture
def picture(workplace: Path) -> Picture:
    return load_image(write_photos(workplace, 1)[0])


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({4: 1.0, 2: 1.0, 1: 1.0}, Split(4, 1)),
        ({4: 1.0, 2: 1.5, 1: 5.0}, Split(2, 2)),
        ({4: 1.0, 2: 2.5, 1: 5.0}, Split(1, 4)),
    ],
)
def test_the_fastest_split_is_taken(
    picture: Picture,
    monkeypatch: pytest.MonkeyPatch,
    seconds: dict[int, float],
    expected: Split,
) -> None:
    painter: Any = TimedPainter(seconds)
    monkeypatch.setattr("styleforge.batches.local.time.perf_counter", lambda: painter.now)
    own = threading.local()
    monkeypatch.setattr(torch, "set_num_threads", lambda count: setattr(own, "count", count))
    monkeypatch.setattr(torch, "get_num_threads", lambda: getattr(own, "count", 4))
    assert fastest_split(painter, picture, 100) == expected
    assert painter.probed == [4] * 2 + [2] * 4 + [1] * 8, "once to warm up, once to be timed"


def test_a_small_batch_is_not_measured(picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    painter: Any = TimedPainter({})
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert fastest_split(painter, picture, 15) == Split(1, 4)
    painter.device = torch.device("cuda")
    assert fastest_split(painter, picture, 100) == Split(1, 4)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    painter.device = CPU
    assert fastest_split(painter, picture, 100) == Split(1, 1)
    assert painter.probed == []


def test_a_picture_to_measure_with_can_be_painted(
    optimized: OptimizedStyle, make_batch: MakeBatch, workplace: Path
) -> None:
    paths = write_photos(workplace / "photos", 3)
    paths[0].write_bytes(b"no picture")
    write_photos(workplace / "tiny", 1, size=(1, 1))[0].replace(paths[1])
    batch = make_batch([optimized])
    painter = Painters(batch, CPU).of(batch.tasks[0])
    found = first_paintable(batch.tasks, painter)
    assert found is not None
    assert found.path == Path("photos/photo3.png")
    assert first_paintable(batch.tasks[:2], painter) is None


def test_painters_are_made_once_a_style_and_share_the_memory(
    trained: TrainedStyle, make_batch: MakeBatch, workplace: Path
) -> None:
    write_photos(workplace / "photos", 2)
    batch = replace(make_batch([trained, replace(trained, name="x")]), memory=1000)
    painters = Painters(batch, CPU, workers=4)
    made = [painters.of(task) for task in batch.tasks]
    assert made[0] is made[1]
    assert made[2] is made[3]
    assert made[1] is not made[2]
    assert isinstance(made[0], NetworkPainter)
    assert made[0].memory == 250


def test_shares_are_disjoint_and_complete(
    trained: TrainedStyle, make_batch: MakeBatch, workplace: Path
) -> None:
    write_photos(workplace / "photos", 5)
    batch = make_batch([trained])
    shares = [batch.share(rank, 3).tasks for rank in range(3)]
    assert [len(tasks) for tasks in shares] == [2, 2, 1]
    assert {task for tasks in shares for task in tasks} == set(batch.tasks)


def test_there_is_at_least_one_core() -> None:
    assert cores() >= 1
