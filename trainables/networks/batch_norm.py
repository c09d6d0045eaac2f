"""Batch norm over the whole batch of all workers, on any device."""

# Shapes: B rows of this worker, C channels, then height and width of an image, or nothing for a vector.

import torch
from torch import Tensor, nn

from trainables.sums import over_workers, rank_and_world


class OverWorkers:
    """Makes torch's batch norm exact: in training with several workers, its statistics are those of all their rows.

    torch's own SyncBatchNorm does this on CUDA only. Here one collective sums x and x^2 in float64, with gradient, so
    that N workers take the same step as one. A worker may have no rows. A channel with one value in the whole batch,
    which torch refuses, becomes its bias and does not update the running variance.
    """

    def forward(self, x_BC: Tensor) -> Tensor:
        if not self.training or (rank_and_world()[1] == 1 and x_BC.numel() != x_BC.shape[1]):
            return super().forward(x_BC)
        values, axes = x_BC.double(), [0, *range(2, x_BC.ndim)]
        count = values.new_full((1,), x_BC.numel() / x_BC.shape[1])
        sums = over_workers(torch.cat([count, values.sum(axes), values.square().sum(axes)]))
        count, (total_C, square_C) = sums[0], sums[1:].chunk(2)
        mean_C = total_C / count
        variance_C = (square_C / count - mean_C.square()).clamp_min(0)
        self._track(mean_C, variance_C, count)
        scale_C = self.weight * (variance_C + self.eps).rsqrt().to(self.weight.dtype)
        per_channel = (-1, *[1] * (x_BC.ndim - 2))
        # The mean first: with weight and bias in one shift, a large one would leave less of the rest.
        centred_BC = x_BC - mean_C.to(self.weight.dtype).view(per_channel)
        return torch.addcmul(self.bias.view(per_channel), centred_BC, scale_C.view(per_channel))

    @torch.no_grad()
    def _track(self, mean_C: Tensor, variance_C: Tensor, count: Tensor) -> None:
        """Update the running statistics, with the unbiased variance."""
        unbiased_C = variance_C * count / (count - 1).clamp_min(1)
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean_C.to(self.running_mean.dtype), self.momentum)
        step = self.momentum * (count > 1).to(self.running_var.dtype)
        self.running_var.lerp_(unbiased_C.to(self.running_var.dtype), step)


class BatchNorm1d(OverWorkers, nn.BatchNorm1d):
    """Batch norm of vectors, (B, C)."""


class BatchNorm2d(OverWorkers, nn.BatchNorm2d):
    """Batch norm of images, (B, C, H, W)."""
