"""What does one evaluation cost, a loss and its gradient, beside plain PyTorch?

    python benchmarks/evaluation_cost.py [--sizes 256,512,1024] [--device cuda] [--to-loss]

The objective is that of pastiche_objective.yaml on a random picture, of shape 3:2, computed by

    plain       F.conv2d and autograd
    direct      the same with channels last: the reference
    styleforge  as a run of styleforge does it

in turn, each time in a process of its own, whose peak is the memory. Their losses must agree.
The floor is the time of the same multiplications by direct convolution at the speed of this
machine's matrix products. --to-loss also measures how long styleforge takes to the loss of 500
evaluations of torch.optim.LBFGS.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from styleforge import Studio, StyleTransfer, load_image, load_preset
from styleforge.core.allocator import keep_freed_memory
from styleforge.core.layers import CONVOLUTIONS, LAYERS
from styleforge.images.geometry import resize
from styleforge.optimize.evaluation import Evaluator
from styleforge.optimize.parameterization import Parameterization
from styleforge.vgg.weights import Weights, load_weights

HERE = Path(__file__).parent
SAMPLES = HERE.parent.parent / "sample_images"
PRESET = load_preset(str(HERE / "pastiche_objective.yaml"))
FAST_PRESET = str(HERE / "pastiche_objective_fast.yaml")

CONTENT_WEIGHTS = PRESET.content_weights
STYLE_WEIGHTS = PRESET.style_weights
DEEPEST = max(map(LAYERS.index, [*CONTENT_WEIGHTS, *STYLE_WEIGHTS]))

TOLERANCE = 1e-4
"""Largest relative difference of the variants' losses."""

REFERENCE = "direct"
WARM_UPS = {"cpu": 0, "cuda": 3}
EVALUATIONS = {"cpu": 3, "cuda": 30}

Evaluate = Callable[[], float]
"""One evaluation of loss and gradient; returns the loss, for which it waits."""

Answer = dict[str, float]
"""What a process measured, by name."""


class Pictures(NamedTuple):
    """Content and style to take the targets from, and the picture to evaluate."""

    content: Tensor
    style: Tensor
    image: Tensor

    @classmethod
    def of(cls, size: int, device: str) -> Pictures:
        shape = picture_shape(size)
        content = load_image(SAMPLES / "content" / "chelsea.jpg").pixels
        style = load_image(SAMPLES / "style" / "vangogh_cafe_terrace_at_night.jpg").pixels
        generator = torch.Generator().manual_seed(0)
        image = 0.1 + 0.8 * torch.rand(1, 3, *reversed(shape), generator=generator)
        return cls(*(x.to(device) for x in (resize(content, shape), resize(style, shape), image)))


def picture_shape(size: int) -> tuple[int, int]:
    """(width, height) of a 3:2 picture with this longest side."""
    return size, round(size * 2 / 3)


class PlainObjective:
    """The preset's objective as one writes it in PyTorch; everything else is left to autograd."""

    def __init__(self, weights: Weights, pictures: Pictures, layout: torch.memory_format) -> None:
        device = pictures.image.device
        self.layout = layout
        self.mean = weights.mean.view(1, 3, 1, 1).to(device)
        self.convolutions = {
            name: (kernel.to(device, memory_format=layout), weights.biases[name].to(device))
            for name, kernel in weights.kernels.items()
            if LAYERS.index(name) <= DEEPEST
        }
        with torch.no_grad():
            content, style = self.features(pictures.content), self.features(pictures.style)
            self.contents = {layer: content[layer] for layer in CONTENT_WEIGHTS}
            self.grams = {layer: plain_gram(style[layer]) for layer in STYLE_WEIGHTS}

    def __call__(self, image: Tensor) -> Tensor:
        features = self.features(image)
        terms = [
            0.5 * weight * F.mse_loss(features[layer], self.contents[layer])
            for layer, weight in CONTENT_WEIGHTS.items()
        ]
        terms += [
            0.25 * weight * F.mse_loss(plain_gram(features[layer]), self.grams[layer])
            for layer, weight in STYLE_WEIGHTS.items()
        ]
        return torch.stack(terms).sum()

    def features(self, image: Tensor) -> dict[str, Tensor]:
        x = (image - self.mean).contiguous(memory_format=self.layout)
        features = {}
        for layer in LAYERS[: DEEPEST + 1]:
            if layer in self.convolutions:
                x = F.conv2d(x, *self.convolutions[layer], padding=1)
            else:
                x = F.relu(x) if layer.startswith("relu") else F.max_pool2d(x, 2)
            features[layer] = x
        return {layer: features[layer] for layer in (*CONTENT_WEIGHTS, *STYLE_WEIGHTS)}


def plain_gram(features: Tensor) -> Tensor:
    """F F^T / M of (1, N, H, W)."""
    flat = features.flatten(2)
    return torch.bmm(flat, flat.transpose(1, 2)) / flat.shape[2]


def plain(pictures: Pictures, layout: torch.memory_format = torch.contiguous_format) -> Evaluate:
    objective = PlainObjective(load_weights(PRESET.network.weights), pictures, layout)
    image = pictures.image.requires_grad_()

    def evaluate() -> float:
        loss = objective(image)
        torch.autograd.grad(loss, image)
        return loss.item()

    return evaluate


def direct(pictures: Pictures) -> Evaluate:
    return plain(pictures, torch.channels_last)


def styleforge(pictures: Pictures) -> Evaluate:
    image = pictures.image
    if image.device.type == "cpu":
        keep_freed_memory()
    content, style = pictures.content.cpu(), pictures.style.cpu()
    run = StyleTransfer(Studio([(style, 1.0)], PRESET, device=image.device), content)
    space = Parameterization(*image.shape[2:], device=image.device)
    evaluator = Evaluator(run.studio.objective(resize(content, run.scales[-1].size)), space)
    point = space.coordinates(image)
    return lambda: evaluator(point).total.item()


VARIANTS: dict[str, Callable[[Pictures], Evaluate]] = {
    "plain": plain,
    "direct": direct,
    "styleforge": styleforge,
}


def measure(variant: str, size: int, device: str) -> Answer:
    """One variant in this process: its loss, the median time and the peak of memory in bytes."""
    evaluate = VARIANTS[variant](Pictures.of(size, device))
    use_tf32(False)
    loss = evaluate()
    use_tf32(True)
    for _ in range(WARM_UPS[device]):
        evaluate()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    times = [timed(evaluate, device) for _ in range(EVALUATIONS[device])]
    return {"loss": loss, "seconds": statistics.median(times), "memory": peak_memory(device)}


def use_tf32(allowed: bool) -> None:
    """The losses are compared in float32; on CUDA the times are those with TF32."""
    torch.backends.cudnn.allow_tf32 = allowed
    torch.backends.cuda.matmul.allow_tf32 = allowed


def timed(work: Callable[[], Any], device: str) -> float:
    """Seconds until the work is done, on the device too."""
    synchronize(device)
    started = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - started


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def peak_memory(device: str) -> int:
    """The process's, with the interpreter and torch; on CUDA that of the tensors alone.

    Linux gives a process at least what its parent had, which only imports torch here.
    """
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def matrix_products(device: str) -> Answer:
    """FLOP/s of square matrix products, by kind."""
    if device == "cpu":
        return {"SGEMM": product_speed(2048, torch.float32, device)}
    use_tf32(True)
    return {
        "TF32": product_speed(8192, torch.float32, device),
        "bf16": product_speed(8192, torch.bfloat16, device),
    }


def product_speed(side: int, dtype: torch.dtype, device: str) -> float:
    a, b = torch.randn(2, side, side, device=device).to(dtype)
    result = torch.empty_like(a)
    times = [timed(lambda: torch.mm(a, b, out=result), device) for _ in range(8)]
    return 2 * side**3 / statistics.median(times[2:])  # the first ones warm up


def evaluation_flop(size: int) -> float:
    """Of one evaluation: the convolutions and Gram matrices, there and back."""
    width, height = picture_shape(size)
    channels, flop = 3, 0
    for layer in LAYERS[: DEEPEST + 1]:
        if layer.startswith("pool"):
            width, height = width // 2, height // 2
        if layer in CONVOLUTIONS:
            flop += 2 * 2 * 9 * channels * CONVOLUTIONS[layer] * width * height
            channels = CONVOLUTIONS[layer]
        if layer in STYLE_WEIGHTS:
            flop += 2 * 2 * channels**2 * width * height
    return flop


def time_to_loss(size: int, device: str, evaluations: int) -> Answer:
    """Seconds of plain L-BFGS for so many evaluations and of styleforge to the same loss."""
    use_tf32(True)
    if device == "cpu":
        keep_freed_memory()  # for both
    weights = load_weights(PRESET.network.weights)
    pictures = Pictures.of(size, device)
    for _ in range(2 if device == "cuda" else 1):  # the first run on CUDA warms up
        started = time.perf_counter()
        loss = lbfgs_loss(weights, pictures, evaluations)
        theirs = time.perf_counter() - started
        ours = styleforge_seconds(weights, pictures, evaluations, loss)
    return {"loss": loss, "lbfgs": theirs, "styleforge": ours}


def lbfgs_loss(weights: Weights, pictures: Pictures, evaluations: int) -> float:
    """Of the picture within [0, 1] that torch.optim.LBFGS makes of the content as pastiche does.

    Its variables are pixels from 0 to 255, and every evaluation is a step.
    """
    objective = PlainObjective(weights, pictures, torch.contiguous_format)
    pixels = (255 * pictures.content).requires_grad_()
    optimizer = torch.optim.LBFGS([pixels], max_iter=1)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = objective(pixels / 255)
        loss.backward()
        return loss

    for _ in range(evaluations):
        optimizer.step(closure)
    with torch.no_grad():
        return float(objective((pixels / 255).clamp(0, 1)))


def styleforge_seconds(weights: Weights, pictures: Pictures, steps: int, wanted: float) -> float:
    """Until styleforge's loss at the final size is as wanted; infinity if it never is."""
    started = time.perf_counter()
    content, style = pictures.content.cpu(), pictures.style.cpu()
    preset = load_preset(FAST_PRESET, {"optimizer.steps": steps})
    device = pictures.image.device
    run = StyleTransfer(Studio([(style, 1.0)], preset, device=device, weights=weights), content)
    for progress in run:
        last = progress.scale_index == progress.scale_count - 1
        if last and progress.loss.total <= wanted:
            return time.perf_counter() - started
    return math.inf


class Launcher(NamedTuple):
    """Starts this script anew for every measurement."""

    device: str
    threads: int
    rounds: int

    def ask(self, task: str, size: int, *options: str) -> Answer:
        command = [sys.executable, __file__, "--task", task, "--sizes", str(size), *options]
        command += ["--device", self.device]
        environment = os.environ | {"OMP_NUM_THREADS": str(self.threads)}
        if task == "styleforge":
            environment["OMP_WAIT_POLICY"] = "passive"  # as its command line does
        process = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True, env=environment
        )
        answer: Answer = json.loads(process.stdout)
        return answer

    def medians(self, size: int) -> dict[str, Answer]:
        """By task, over rounds in which every task has its turn."""
        tasks = ("matrix products", *VARIANTS)
        rounds = [{task: self.ask(task, size) for task in tasks} for _ in range(self.rounds)]
        return {
            task: {
                key: statistics.median(answers[task][key] for answers in rounds)
                for key in rounds[0][task]
            }
            for task in tasks
        }


def report(size: int, medians: dict[str, Answer]) -> bool:
    """Print a size's results; true if the losses agree."""
    width, height = picture_shape(size)
    flop = evaluation_flop(size)
    print(f"\n{width} x {height}: {flop / 1e9:.1f} GFLOP an evaluation")
    for kind, speed in medians["matrix products"].items():
        print(f"  {kind} at {speed / 1e9:.0f} GFLOP/s: floor {flop / speed:.4f} s")
    print("              seconds  to direct   GFLOP/s      MiB  to direct         loss")
    for variant in VARIANTS:
        print_row(variant, medians[variant], medians[REFERENCE], flop)
    sys.stdout.flush()
    return all(agrees(medians[variant], medians["styleforge"]) for variant in VARIANTS)


def print_row(variant: str, answer: Answer, reference: Answer, flop: float) -> None:
    seconds, memory = answer["seconds"], answer["memory"]
    print(f"  {variant:10s} {seconds:8.4f} {seconds / reference['seconds']:10.2f}", end="")
    print(f" {flop / seconds / 1e9:9.0f} {memory / 2**20:8.0f}", end="")
    print(f" {memory / reference['memory']:10.2f} {answer['loss']:12.6g}")


def agrees(answer: Answer, other: Answer) -> bool:
    return math.isclose(answer["loss"], other["loss"], rel_tol=TOLERANCE)


def report_to_loss(answer: Answer, evaluations: int) -> None:
    print(f"  to the loss of {evaluations} evaluations of LBFGS, {answer['loss']:.6g}:", end="")
    ours, theirs = answer["styleforge"], answer["lbfgs"]
    reached = f"{ours:.2f} s, ratio {ours / theirs:.3f}" if math.isfinite(ours) else "not reached"
    print(f" LBFGS {theirs:.2f} s, styleforge {reached}", flush=True)


def carry_out(task: str, size: int, device: str, evaluations: int) -> Answer:
    """In the process of a measurement."""
    if task == "matrix products":
        return matrix_products(device)
    if task == "to loss":
        return time_to_loss(size, device, evaluations)
    return measure(task, size, device)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    option = parser.add_argument
    option("--sizes", default="256,512,1024", help="longest sides (%(default)s)")
    option("--device", choices=["cpu", "cuda"], default="cpu")
    option("--threads", type=int, default=2, help="on the CPU (%(default)s)")
    option("--rounds", type=int, default=3, help="of all variants (%(default)s)")
    to_loss = "also time styleforge to the loss of N evaluations of LBFGS (500)"
    option("--to-loss", type=int, nargs="?", const=500, default=0, metavar="N", help=to_loss)
    option("--task", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    sizes = [int(size) for size in arguments.sizes.split(",")]
    if arguments.task:
        answer = carry_out(arguments.task, sizes[0], arguments.device, arguments.to_loss)
        print(json.dumps(answer))
        return
    launcher = Launcher(arguments.device, arguments.threads, arguments.rounds)
    agreed = True
    for size in sizes:
        agreed &= report(size, launcher.medians(size))
        if arguments.to_loss:
            evaluations = str(arguments.to_loss)
            answer = launcher.ask("to loss", size, "--to-loss", evaluations)
            report_to_loss(answer, arguments.to_loss)
    if not agreed:
        sys.exit(f"the losses differ by more than {TOLERANCE:g}")


if __name__ == "__main__":
    main()
