from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from styleforge.networks.instance_norm import EPSILON, InstanceNorm, Moments

STYLES, CHANNELS = 3, 5


def norm() -> InstanceNorm:
    """Three styles with different scales and shifts."""
    module = InstanceNorm(CHANNELS, STYLES)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        module.scale.copy_(torch.rand(STYLES, CHANNELS, generator=generator) + 0.5)
        module.shift.copy_(torch.randn(STYLES, CHANNELS, generator=generator))
    return module


def features(batch: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return 2 * torch.randn(batch, CHANNELS, 9, 7, generator=generator) + 3


def expected(module: InstanceNorm, x: Tensor, style: int) -> Tensor:
    return F.instance_norm(x, weight=module.scale[style], bias=module.shift[style], eps=EPSILON)


def test_it_starts_as_plain_instance_normalisation() -> None:
    x = features()
    torch.testing.assert_close(InstanceNorm(CHANNELS)(x, torch.ones(4, 1)), F.instance_norm(x))


def test_one_mixture_serves_the_whole_batch() -> None:
    module, x = norm(), features()
    for style in range(STYLES):
        mixture = torch.eye(STYLES)[style : style + 1]
        torch.testing.assert_close(module(x, mixture), expected(module, x, style))


def test_every_image_of_a_batch_has_its_own_style() -> None:
    module, x, styles = norm(), features(), [2, 0, 0, 1]
    found = module(x, torch.eye(STYLES)[styles])
    for image, style, own in zip(x.split(1), styles, found.split(1), strict=True):
        torch.testing.assert_close(own, expected(module, image, style))


def test_a_mixture_has_the_mixture_of_scales_and_shifts() -> None:
    module, x = norm(), features()
    scale = (module.scale[0] + module.scale[2]) / 2
    shift = (module.shift[0] + module.shift[2]) / 2
    torch.testing.assert_close(
        module(x, torch.tensor([[0.5, 0.0, 0.5]])), F.instance_norm(x, weight=scale, bias=shift)
    )


def test_gradients_are_those_of_torch() -> None:
    module, x = norm(), features().requires_grad_()
    weights = torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    inputs = (x, module.scale, module.shift)
    found = torch.autograd.grad((module(x, torch.eye(STYLES)[[1]]) * weights).sum(), inputs)
    wanted = torch.autograd.grad((expected(module, x, 1) * weights).sum(), inputs)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_a_flat_channel_becomes_its_shift() -> None:
    module = norm()
    found = module(torch.full((1, CHANNELS, 8, 8), 0.25), torch.eye(STYLES)[[1]])
    shift = module.shift[1].view(1, -1, 1, 1).expand_as(found)
    torch.testing.assert_close(found, shift, rtol=0, atol=1e-4)


def test_the_variance_survives_a_large_mean() -> None:
    x = features().double()
    found, wanted = Moments.of((x + 1000).float()), Moments.of(x)
    torch.testing.assert_close(found.variance.double(), wanted.variance, rtol=1e-4, atol=0)
