"""Linear layers of several models at once, with the bits that each model alone would get.

A batched product may add in another order than the product of one pair of matrices. Which shapes it does that for is
found by trial; for these the products are taken one by one.
"""

# Shapes: K models, B rows, I inputs and O outputs of a layer; N, M and P any.

import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

ALIGNMENT = 64  # bytes, of the memory of a new tensor
ENOUGH, MOST = 2_000, 100  # numbers that must be equal; draws of them


ELEMENTWISE = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.Softplus, nn.Sigmoid, nn.Tanh)


def batch_layers(module: nn.Module) -> None:
    """Have the linear layers of `module` computed by `Layers`, in place. It is meant to be called under `vmap` then."""
    for layer in module.modules():
        if type(layer) in BATCHED:
            layer.__class__ = BATCHED[type(layer)]


class BatchedSequential(nn.Sequential):
    """Layers that several models share under `vmap`. Neighbours that are linear or elementwise are computed as one.

    `vmap` costs more than the arithmetic of a small layer, so they pass through it once.
    """

    def forward(self, x: Tensor) -> Tensor:
        """The last layer's output."""
        for chained, layers in groupby(self, _can_be_chained):
            layers = tuple(layers)
            # inside `torch.func.grad`, where x requires a gradient, each layer has its own: see `Linear`
            if chained and x.ndim == 2 and not x.requires_grad:
                weights = [weight for layer in layers for weight in layer.parameters()]
                x = Chain.apply(partial(_through, layers), x, *weights)
            else:
                for layer in layers:
                    x = layer(x)
        return x


def _can_be_chained(layer: nn.Module) -> bool:
    return isinstance(layer, ELEMENTWISE) or (isinstance(layer, BatchedLinear) and layer.bias is not None)


def _through(layers: Sequence[nn.Module], linear: Callable[..., Tensor], x: Tensor, *weights: Tensor) -> Tensor:
    """The output of layers, of which the linear ones have these weights and biases."""
    left = iter(weights)
    for layer in layers:
        x = linear(x, next(left), next(left)) if isinstance(layer, nn.Linear) else layer(x)
    return x


class BatchedLinear(nn.Linear):
    """A linear layer that several models share under `vmap`, each with its own weights."""

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output for inputs (..., I)."""
        if x.ndim < 2 or self.bias is None:
            return super().forward(x)
        return Linear.apply(x.flatten(0, -2), self.weight, self.bias).unflatten(0, x.shape[:-1])


class Chain(Function):
    """Layers one after another, whose linear ones are `Layers` under `vmap`. It has no gradient but there."""

    @staticmethod
    def forward(through: Callable[..., Tensor], x_BI: Tensor, *weights: Tensor) -> Tensor:
        return through(F.linear, x_BI, *weights)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        pass

    @staticmethod
    def vmap(info, in_dims, through: Callable[..., Tensor], *inputs: Tensor) -> tuple[Tensor, int]:
        return through(Layers.apply, *_stacked(info.batch_size, in_dims[1:], inputs)), 0


class Linear(Function):
    """torch's `linear`, which under `vmap` is `Layers`."""

    @staticmethod
    def forward(x_BI: Tensor, weight_OI: Tensor, bias_O: Tensor) -> Tensor:
        return F.linear(x_BI, weight_OI, bias_O)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx, gradient_BO: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x_BI, weight_OI = ctx.saved_tensors
        return gradient_BO @ weight_OI, gradient_BO.t() @ x_BI, gradient_BO.sum(0)

    @staticmethod
    def vmap(info, in_dims, *inputs: Tensor) -> tuple[Tensor, int]:
        return Layers.apply(*_stacked(info.batch_size, in_dims, inputs)), 0


def _stacked(models: int, in_dims: Sequence[int | None], inputs: Sequence[Tensor]) -> list[Tensor]:
    """The inputs of a function under `vmap`, each with the models as its first dimension."""
    return [
        value.movedim(dim, 0) if dim is not None else value.expand(models, *value.shape)
        for value, dim in zip(inputs, in_dims, strict=True)
    ]


BATCHED = {nn.Linear: BatchedLinear, nn.Sequential: BatchedSequential}


class Layers(Function):
    """The linear layers of K models: x (K, B, I), weights (K, O, I), biases (K, O) -> (K, B, O)."""

    @staticmethod
    def forward(ctx, x_KBI: Tensor, weight_KOI: Tensor, bias_KO: Tensor) -> Tensor:
        ctx.save_for_backward(x_KBI, weight_KOI)
        return affine(x_KBI, weight_KOI, bias_KO)

    @staticmethod
    def backward(ctx, gradient_KBO: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        x_KBI, weight_KOI = ctx.saved_tensors
        of_x = product(gradient_KBO, weight_KOI) if ctx.needs_input_grad[0] else None
        # in this order, and not its transpose, as torch takes it for one model
        return of_x, product(gradient_KBO.transpose(1, 2), x_KBI), gradient_KBO.sum(1)


def product(left_KNM: Tensor, right_KMP: Tensor) -> Tensor:
    """The K products of two matrices each, (K, N, P)."""
    left_KNM, right_KMP = aligned(left_KNM), aligned(right_KMP)
    forms = (*left_KNM.shape, *left_KNM.stride()), (*right_KMP.shape, *right_KMP.stride())
    if _equal_products(*forms, left_KNM.dtype, left_KNM.device):
        return torch.bmm(left_KNM, right_KMP)
    if torch.is_grad_enabled():  # for a gradient of this gradient
        return torch.stack([torch.mm(left, right) for left, right in zip(left_KNM, right_KMP, strict=True)])
    out_KNP = _room(left_KNM, left_KNM.shape[1], right_KMP.shape[2])
    for left, right, out in zip(left_KNM.unbind(), right_KMP.unbind(), out_KNP.unbind(), strict=True):
        torch.mm(left, right, out=out)
    return out_KNP


def keeps_bits(left_KNM: Tensor, right_KMP: Tensor) -> bool:
    """Whether the batched product of these has the bits of each model's own product."""
    forms = (*left_KNM.shape, *left_KNM.stride()), (*right_KMP.shape, *right_KMP.stride())
    placed = _is_aligned(left_KNM) and _is_aligned(right_KMP)
    return placed and _equal_products(*forms, left_KNM.dtype, left_KNM.device)


def affine(x_KBI: Tensor, weight_KOI: Tensor, bias_KO: Tensor) -> Tensor:
    """The K layers' outputs, (K, B, O)."""
    x_KBI, weight_KIO = aligned(x_KBI), aligned(weight_KOI).transpose(1, 2)
    if _equal_layers(*x_KBI.shape, weight_KOI.shape[1], x_KBI.dtype, x_KBI.device):
        return torch.baddbmm(bias_KO.unsqueeze(1), x_KBI, weight_KIO)
    out_KBO = _room(x_KBI, x_KBI.shape[1], weight_KOI.shape[1])
    models = zip(bias_KO.unbind(), x_KBI.unbind(), weight_KIO.unbind(), out_KBO.unbind(), strict=True)
    for bias_O, x_BI, weight_IO, out_BO in models:
        torch.addmm(bias_O, x_BI, weight_IO, out=out_BO)
    return out_KBO


def aligned(x_KNM: Tensor) -> Tensor:
    """The same, each model's matrix where a tensor of its own would be: products' bits depend on the address."""
    if x_KNM.stride(1) < x_KNM.stride(2):
        return aligned(x_KNM.transpose(1, 2)).transpose(1, 2)
    return x_KNM if _is_aligned(x_KNM) else _room(x_KNM, *x_KNM.shape[1:]).copy_(x_KNM)


def _is_aligned(x_KNM: Tensor) -> bool:
    if x_KNM.stride(1) < x_KNM.stride(2):
        return _is_aligned(x_KNM.transpose(1, 2))
    step = x_KNM.stride(0) * x_KNM.element_size()
    return x_KNM[0].is_contiguous() and step % ALIGNMENT == x_KNM.data_ptr() % ALIGNMENT == 0


def _room(like_K: Tensor, rows: int, columns: int) -> Tensor:
    """Room for K matrices that begin at aligned addresses."""
    size, each = rows * columns, ALIGNMENT // like_K.element_size()
    room = like_K.new_empty(like_K.shape[0], size + -size % each)
    return room[:, :size].unflatten(1, (rows, columns))


@cache
def _equal_products(left: tuple[int, ...], right: tuple[int, ...], dtype, device) -> bool:
    """Whether the batched product of such matrices, each of a shape and strides, has the bits of the single ones."""

    def equal(generator: torch.Generator) -> bool:
        left_KNM, right_KMP = (_random(generator, *form, dtype=dtype, device=device) for form in (left, right))
        singles = [torch.mm(left_NM, right_MP) for left_NM, right_MP in zip(left_KNM, right_KMP, strict=True)]
        return torch.equal(torch.bmm(left_KNM, right_KMP), torch.stack(singles))

    return _always(equal, left[0] * left[1] * right[2])


@cache
def _equal_layers(k: int, b: int, i: int, o: int, dtype, device) -> bool:
    """Whether the batched layer has the bits of the single ones."""

    def equal(generator: torch.Generator) -> bool:
        forms = (k, b, i), (k, o, i), (k, 1, o)
        x_KBI, weight_KOI, bias_K1O = (_random(generator, *form, dtype=dtype, device=device) for form in forms)
        models = zip(x_KBI, weight_KOI, bias_K1O[:, 0], strict=True)
        singles = [F.linear(x_BI, weight_OI, bias_O) for x_BI, weight_OI, bias_O in models]
        return torch.equal(torch.baddbmm(bias_K1O, x_KBI, weight_KOI.transpose(1, 2)), torch.stack(singles))

    return _always(equal, k * b * o)


def _always(equal: Callable[[torch.Generator], bool], numbers: int) -> bool:
    """Whether `equal` is true of as many random draws as make enough numbers: a few are often equal by chance."""
    generator = torch.Generator().manual_seed(0)
    return all(equal(generator) for _ in range(min(math.ceil(ENOUGH / numbers), MOST)))


def _random(generator: torch.Generator, k: int, n: int, m: int, *strides: int, dtype, device) -> Tensor:
    """Aligned random matrices, (K, N, M); transposed ones where the strides are those of such."""
    transposed = strides and strides[1] < strides[2]
    shape = (k, m, n) if transposed else (k, n, m)
    made = aligned(torch.randn(shape, generator=generator, dtype=torch.float64).to(device, dtype))
    return made.transpose(1, 2) if transposed else made
