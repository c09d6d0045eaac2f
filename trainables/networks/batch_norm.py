"""Batch norm over the whole batch, however many workers share it, on any device."""

# Shapes: B rows of this worker, C channels, H height, W width.

import torch
from torch import Tensor, nn

from trainables.sums import over_workers, rank_and_world


class BatchNorm2d(nn.BatchNorm2d):
    """As torch's; while several workers train, its statistics are those of all their rows.

    torch's own SyncBatchNorm does this on CUDA only. Here one collective carries the sums of x and x^2 in float64, with
    gradient, so that N workers take the step that one would. A worker may have no rows.
    """

    def forward(self, x_BCHW: Tensor) -> Tensor:
        if not self.training or rank_and_world()[1] == 1:
            return super().forward(x_BCHW)
        values = x_BCHW.double()
        count = values.new_full((1,), x_BCHW.numel() / x_BCHW.shape[1])
        sums = over_workers(torch.cat([count, values.sum((0, 2, 3)), values.square().sum((0, 2, 3))]))
        count, (total_C, square_C) = sums[0], sums[1:].chunk(2)
        mean_C = total_C / count
        variance_C = (square_C / count - mean_C.square()).clamp_min(0)
        self._track(mean_C, variance_C * count / (count - 1))
        scale_C = self.weight * (variance_C + self.eps).rsqrt().to(x_BCHW.dtype)
        return torch.addcmul(
            (self.bias - mean_C.to(x_BCHW.dtype) * scale_C)[:, None, None], x_BCHW, scale_C[:, None, None]
        )

    @torch.no_grad()
    def _track(self, mean_C: Tensor, variance_C: Tensor) -> None:
        """Move the running statistics, the variance being the unbiased one."""
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean_C.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_(variance_C.to(self.running_var.dtype), self.momentum)
