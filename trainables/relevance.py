"""Relevance of latent axes: the decoder's sensitivity to an axis times the second moment of the encoded data on it.

Source: ARD-VAE, section 3.4 (eqs. 19, 20) and its evaluation code. An estimated variance alone means nothing: the KL is
unchanged when an axis and its variance are rescaled together. The score is unchanged by that, too.
"""

# Shapes: B rows, D latent axes, O data values of one row, flattened.

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp, vmap

from trainables.data import Rows
from trainables.distributions.posteriors import Posterior
from trainables.footprint import bytes_of
from trainables.model import VAE, Form
from trainables.noise import Noise
from trainables.sums import Sums, add, all_reduce, share

# At the first forward-mode derivative PyTorch loads its own decompositions through a function that it has deprecated.
warnings.filterwarnings("ignore", message=".*torch.jit.script.*", category=FutureWarning)

JACOBIAN_ROWS = 100
MOMENT_ROWS = 10_000
INFORMATIVE = 0.01  # least variance over rows of an axis's mean, relative to that of its samples (Burda et al. 2016),
#                     and of decoded data, relative to that of the data
ROUNDING = 1e-12  # relative to an axis's second moment: a smaller variance is rounding error of a constant
JACOBIAN_BYTES = 64 << 20  # bound of the decoder's activations and their derivatives in memory at once
ON_A_GPU = 16  # times as many there, where small pieces leave most of it idle


@dataclass(frozen=True)
class Codes:
    """The mean and the second moment about zero of encoded data, on each axis."""

    mean_D: Tensor
    second_D: Tensor

    def sample(self, eps_BD: Tensor) -> Tensor:
        """Latents m + sqrt(s) eps of N(0, 1) noise, as ARD-VAE's generation code has them.

        As s is not centred, the variance of the latents exceeds that of the codes by m^2.
        """
        return (self.mean_D + self.second_D.sqrt() * eps_BD).to(eps_BD.dtype)


@dataclass(frozen=True)
class Relevance:
    """The relevance of a trained model's axes.

    `mean_D` is the mean of representations; `variance_D` (the second moment about zero) and `sample_D` (the mean) are
    those of sampled latents, whose mean is another where a mapping follows q(y|x). None: not known, as in files of
    earlier versions.
    """

    score_D: Tensor
    mean_D: Tensor
    variance_D: Tensor
    sample_D: Tensor | None = None

    @property
    def sd_D(self) -> Tensor:
        """The standard deviation of sampled latents on each axis."""
        mean_D = self.mean_D if self.sample_D is None else self.sample_D
        return (self.variance_D - mean_D.square()).clamp_min(0).sqrt()

    def active(self, share_of_total: float = 0.99) -> Tensor:
        """Mask (D,) of the fewest axes whose scores exceed this share of the total, see `fewest`."""
        return fewest(self.score_D, share_of_total)

    def sample(self, eps_BD: Tensor) -> Tensor:
        """Latents of N(0, 1) noise; only active axes move: z = m + sqrt(s r) eps (ARD-VAE's generation code)."""
        return Codes(self.mean_D, self.variance_D * self.active()).sample(eps_BD)

    def hold(self, z_BD: Tensor) -> Tensor:
        """These latents with the axes that are not active at their mean over the encoded data."""
        return torch.where(self.active(), z_BD, self.mean_D.to(z_BD))


def fewest(score_D: Tensor, share_of_total: float = 0.99) -> Tensor:
    """Mask (D,) of the fewest axes whose scores together exceed this share of the total."""
    total = score_D.sum()
    ordered, axes = score_D.sort(descending=True)
    needed = int((ordered.cumsum(0) <= share_of_total * total).sum()) + 1 if total > 0 else 0
    mask = torch.zeros_like(score_D, dtype=torch.bool)
    mask[axes[:needed]] = True
    return mask


def jacobian_points(vae: VAE, z_BD: Tensor, mean_BD: Tensor) -> Tensor:
    """The latents at which the decoder is differentiated: sampled ones z, or the representations of their rows."""
    return {"samples": z_BD, "means": mean_BD}[vae.relevance_at]


def at_rows(vae: VAE, z_BD: Tensor, x_BX: Tensor) -> Sums:
    """The sums of `sensitivity` and `spread` at the latents z of the rows x."""
    with torch.no_grad():
        decoded_BX = vae.decode(z_BD).mean_BX
    return sensitivity(vae, z_BD) | spread(decoded_BX, x_BX)


@torch.no_grad()  # else the weights' graph would hold the activations of all rows and axes
def sensitivity(vae: VAE, z_BD: Tensor) -> Sums:
    """Sums over rows of the Jacobian J of the decoded mean at z: |J| (O, D), and J^2 summed over outputs (D,)."""
    rows, axes = at_once(vae, z_BD)
    return add(_sensitivity(vae, some_BD, axes) for some_BD in z_BD.split(rows))


def at_once(vae: VAE, z_BD: Tensor) -> tuple[int, int]:
    """How many rows, and how many axes, to differentiate at once within the bound: at least one of each.

    Forward mode computes each of the decoder's activations once per axis and row.
    """
    one = bytes_of(lambda: _decoded(vae, z_BD[:1])) + 2 * 8 * math.prod(vae.shape)  # two of float64 at the end
    bound, axes = JACOBIAN_BYTES * (ON_A_GPU if z_BD.is_cuda else 1), z_BD.shape[1]
    derivatives = max(1, bound // max(1, one))
    return max(1, derivatives // axes), min(derivatives, axes)


def _decoded(vae: VAE, z_BD: Tensor) -> Tensor:
    """The decoded mean in float32: in bfloat16 torch's forward mode cannot differentiate batch norm."""
    return vae.decode(z_BD, "fp32").mean_BX


class _Decoder(nn.Module):
    """Latents to decoded means, as a module, whose parameters may be replaced in a call."""

    def __init__(self, vae: VAE):
        super().__init__()
        self.vae = vae

    def forward(self, z_BD: Tensor) -> Tensor:
        return _decoded(self.vae, z_BD).flatten(1)


def _sensitivity(vae: VAE, z_BD: Tensor, axes_at_once: int) -> Sums:
    # Biases have a derivative of 0. Where torch is told none, it adds through a slow detour, which loads torch._dynamo.
    decoder = _Decoder(vae)
    biases = {name: one.detach() for name, one in decoder.named_parameters() if one.ndim == 1}
    zeros = {name: torch.zeros_like(one) for name, one in biases.items()}

    def along(tangent_D: Tensor) -> Tensor:
        tangents = tangent_D.expand_as(z_BD), zeros
        return jvp(lambda z, known: functional_call(decoder, known, z), (z_BD, biases), tangents)[1]

    axes = torch.eye(z_BD.shape[1], dtype=z_BD.dtype, device=z_BD.device)
    absolute, square = [], []
    for some in axes.split(axes_at_once):
        jacobian_DBO = vmap(along)(some).double()
        absolute.append(jacobian_DBO.abs().sum(1))
        square.append(jacobian_DBO.square().sum((1, 2)))
    rows = torch.tensor(float(len(z_BD)), device=z_BD.device)
    return {"jacobian_rows": rows, "absolute_OD": torch.cat(absolute).T, "square_D": torch.cat(square)}


def weight(sums: Sums, form: Form = "square_mean_abs") -> Tensor:
    """w (D,): the published code's sum_k (mean_i |J_ik|)^2, or eq. 19's sum_k mean_i J_ik^2, which is never smaller."""
    if form == "mean_square":
        return sums["square_D"] / sums["jacobian_rows"]
    return (sums["absolute_OD"] / sums["jacobian_rows"]).square().sum(0)


def moments(z_BD: Tensor, mean_BD: Tensor) -> Sums:
    """Sums over rows of the representation, of the sampled latents, and of their squares."""
    rows, z_BD, mean_BD = torch.tensor(float(len(z_BD)), device=z_BD.device), z_BD.double(), mean_BD.double()
    return {
        "rows": rows,
        "mean_D": mean_BD.sum(0),
        "second_D": z_BD.square().sum(0),
        "sample_D": z_BD.sum(0),
        "mean_square_D": mean_BD.square().sum(0),
    }


def spread(decoded_BX: Tensor, x_BX: Tensor) -> Sums:
    """Sums over rows of decoded data and of the data that they are made from, and of their squares, for `collapsed`."""
    pair = {"decoded": decoded_BX.flatten(1).double(), "data": x_BX.flatten(1).double()}
    return {f"{name}_O": values_BO.sum(0) for name, values_BO in pair.items()} | {
        f"{name}_square": values_BO.square().sum() for name, values_BO in pair.items()
    }


def collapsed(moment_sums: Sums, sensitivity_sums: Sums) -> bool:
    """Whether codes do not distinguish rows, or the decoder does not distinguish codes; from sums over all rows."""
    return mute_codes(moment_sums) or mute_decoder(sensitivity_sums)


def mute_decoder(sums: Sums) -> bool:
    """Whether decoded data vary over rows by less than 1 % of how the data do: all are about the mean of the data.

    So collapse models with a deterministic encoder, whose codes always vary. From the sums of `spread`.
    """
    rows = sums["jacobian_rows"]
    if rows <= 1:
        return False
    decoded, data = (
        sums[f"{name}_square"] / rows - (sums[f"{name}_O"] / rows).square().sum() for name in ("decoded", "data")
    )
    return bool(decoded < INFORMATIVE * data)


def mute_codes(moment_sums: Sums) -> bool:
    """Whether no axis distinguishes rows, from the sums of `moments` over all rows and workers.

    An axis does if the variance of its representation over rows is at least 1 % of the variance of its samples: Burda
    et al. 2016's active units (their 0.01, for samples of variance 1), made independent of the axis's scale.
    """
    rows = moment_sums["rows"]
    second_D = moment_sums["mean_square_D"] / rows
    between_D = second_D - (moment_sums["mean_D"] / rows).square()
    variance_D = moment_sums["second_D"] / rows - (moment_sums["sample_D"] / rows).square()
    mute_D = (between_D < INFORMATIVE * variance_D) | (between_D <= ROUNDING * second_D)
    return bool(rows > 1 and mute_D.all())


def relevance(moment_sums: Sums, sensitivity_sums: Sums, form: Form = "square_mean_abs") -> Relevance:
    """Score = w * second moment about zero (eq. 20), from sums over all rows and workers."""
    mean_D, variance_D, sample_D = (
        moment_sums[name] / moment_sums["rows"] for name in ("mean_D", "second_D", "sample_D")
    )
    return Relevance(weight(sensitivity_sums, form) * variance_D, mean_D, variance_D, sample_D)


def measure(vae: VAE, x_BX: Tensor, form: Form = "square_mean_abs", seed: int = 0) -> Relevance:
    """The relevance of a trained model's axes by the published procedure.

    Args:
        x_BX: the first training rows in order, at most 10,000, in the data's range; the Jacobian uses the first 100.
        form: which weight to use, see `weight`.
        seed: of the sample, one per row.
    """
    found = published_sums(vae, x_BX, seed, share)
    return relevance(*map(all_reduce, found), form)


class Encodings:
    """A trained model's training rows on this worker alone, and what their codes say, each computed at first use.

    Args:
        seed: of the codes' samples, one per row.
    """

    def __init__(self, vae: VAE, train: Rows, seed: int = 0):
        self.vae, self.train, self.seed = vae, train, seed

    @cached_property
    def codes(self) -> Codes:
        """Moments of the first 10,000 rows' codes, without the Jacobian."""
        sums, _ = encoded_sums(self.vae, self._first(), self.seed, slice)
        return Codes(sums["mean_D"] / sums["rows"], sums["second_D"] / sums["rows"])

    @cached_property
    def sums(self) -> tuple[Sums, Sums]:
        """The sums of `moments` and `sensitivity` over the same rows."""
        return published_sums(self.vae, self._first(), self.seed, slice)

    @property
    def relevance(self) -> Relevance:
        """The relevance of the axes, with the method's form of the weight."""
        return relevance(*self.sums, self.vae.relevance_form)

    def _first(self) -> Tensor:
        first = torch.arange(min(len(self.train), MOMENT_ROWS))
        return self.train.batch(first).to(next(self.vae.parameters()))


def published_sums(vae: VAE, x_BX: Tensor, seed: int, part: Callable[[int], slice]) -> tuple[Sums, Sums]:
    """The sums of `moments` and `sensitivity` that `measure` needs, over this worker's `part` of every 1,000 rows."""
    with torch.no_grad():
        sums, at = encoded_sums(vae, x_BX, seed, part)
        return sums, at_rows(vae, *at)


@torch.no_grad()
def encoded_sums(vae: VAE, x_BX: Tensor, seed: int, part: Callable[[int], slice]) -> tuple[Sums, tuple[Tensor, Tensor]]:
    """The sums of `moments` over this worker's `part` of every 1,000 rows.

    Also this worker's share of the first 100 rows: their latents z, see `jacobian_points`, and the rows x themselves.
    """
    moment_sums, z, x = [], [], []
    for some_BX, row_B, q, noise in encoded(vae, x_BX, seed, part):
        z_BD = vae.mapping(q.draw(noise).y_BD)
        mean_BD = vae.mapping(q.mean_BD)
        moment_sums.append(moments(z_BD, mean_BD))
        first = row_B < JACOBIAN_ROWS
        z.append(jacobian_points(vae, z_BD, mean_BD)[first])
        x.append(some_BX[first])
    return add(moment_sums), (torch.cat(z), torch.cat(x))


def encoded(
    vae: VAE, x_BX: Tensor, seed: int, part: Callable[[int], slice]
) -> Iterator[tuple[Tensor, Tensor, Posterior, Noise]]:
    """Of this worker's `part` of every 1,000 rows: the rows, their numbers, q(y|x), and the noise of its samples."""
    vae.eval()
    for batch, start in zip(x_BX.split(1000), range(0, len(x_BX), 1000), strict=True):
        mine = part(len(batch))
        row_B = torch.arange(len(batch), device=x_BX.device)[mine] + start
        noise = Noise(seed, "relevance", start, rows=mine, total=len(batch), device=x_BX.device)
        yield batch[mine], row_B, vae.encode(batch[mine]), noise
