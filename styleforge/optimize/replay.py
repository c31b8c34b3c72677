"""A step that is the same kernels every time: recorded once on CUDA, then replayed.

Launching the hundreds of small kernels of a step one by one takes longer than a fast GPU needs
to run them; a recorded step (a CUDA graph) is launched as one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch

_WARM_UPS = 3
"""Steps taken as usual before recording, so that libraries choose their algorithms."""


class Replayed:
    """Calls a step, which must read and write the same tensors every time and wait for nothing.

    Every call is one step. A step that cannot be recorded is called as usual, with a warning.
    """

    def __init__(self, step: Callable[[], None]) -> None:
        self._step = step
        self._warm_ups = _WARM_UPS
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._next: Callable[[], None] = self._warm_up

    def __call__(self) -> None:
        self._next()

    def _warm_up(self) -> None:
        self._warm_ups -= 1
        if not self._warm_ups:
            self._next = self._record
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            self._step()
        torch.cuda.current_stream().wait_stream(self._stream)

    def _record(self) -> None:
        """Recording runs nothing, so the step is replayed, or called, after it."""
        try:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self._step()
        except RuntimeError as error:
            reason, *_ = str(error).splitlines() or [type(error).__name__]
            warnings.warn(
                f"steps could not be recorded ({reason}); each is launched anew, and slower",
                stacklevel=2,
            )
            self._next = self._step
        else:
            self._next = graph.replay
        self._next()
