"""A result carried along with its scene, for sequences of photos as for films."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from styleforge.films.flow import motion, warped
from styleforge.images.save import to_levels


def carried(result: Tensor, before: Tensor, frame: Tensor) -> Tensor:
    """What became of the frame before, moved to where its scene is now: (1, 3, H, W) in [0, 1].

        moved(result) + frame - moved(before)

    Strokes stay on what they were painted on, and what is new comes from the frame itself.
    """
    flow = motion(to_levels(frame), to_levels(before)).flow
    moved_result, moved_before = (_tensor(warped(_array(x), flow)) for x in (result, before))
    return (moved_result + frame.cpu().float() - moved_before).clamp(0, 1)


def _array(image: Tensor) -> np.ndarray[Any, np.dtype[np.float32]]:
    """(1, 3, H, W) to (H, W, 3)."""
    array: np.ndarray[Any, np.dtype[np.float32]] = (
        image[0].detach().cpu().float().permute(1, 2, 0).contiguous().numpy()
    )
    return array


def _tensor(image: np.ndarray[Any, Any]) -> Tensor:
    """(H, W, 3) to (1, 3, H, W) within [0, 1]."""
    return torch.from_numpy(image).permute(2, 0, 1)[None].clamp(0, 1)
