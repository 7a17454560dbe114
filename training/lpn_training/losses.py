"""Heatmap losses: labels and teacher."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lpn_training.batches import Batch
from lpn_training.config import Config


def label_loss(heatmaps: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Mean over joints of 0.5 * MSE(w h, w t), the loss of SimpleBaseline and LPN.

    Args:
        heatmaps: (N, K, H, W).
        targets: (N, K, H, W).
        weights: (N, K), 0 for joints without a label.
    """
    return 0.5 * ((heatmaps - targets).square().mean(dim=(2, 3)) * weights.square()).mean()


def teacher_loss(heatmaps: Tensor, teacher: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean over joints of 0.5 * w * MSE to the teacher's heatmaps (N, K, H, W); no temperature.

    Args:
        heatmaps: (N, K, H, W).
        teacher: (N, K, H, W).
        weights: w, (N, K) or (1, K); None for 1.
    """
    error = (heatmaps - teacher).square().mean(dim=(2, 3))
    return 0.5 * (error if weights is None else error * weights).mean()


class BatchLoss:
    """The losses of a configuration's batches.

    Args:
        network: Views to heatmaps.
        config: Of the run.
        device: Of the network.
    """

    def __init__(self, network: nn.Module, config: Config, device: torch.device) -> None:
        self.network, self.options = network, config.loss
        self.compute = torch.compile(self.of) if config.train.compile else self.of
        self.device, self.bf16 = device.type, config.train.bf16
        self.teacher_joint_mask: Tensor | None = None
        if config.loss.teacher_joints:
            self.teacher_joint_mask = torch.zeros(1, config.model.num_joints, device=device)
            self.teacher_joint_mask[:, list(config.loss.teacher_joints)] = 1

    def of(
        self, views: Tensor, targets: Tensor, weights: Tensor, teacher_heatmaps: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The label and teacher losses of one batch, as ``batches.Batch`` describes its parts."""
        with torch.autocast(self.device, torch.bfloat16, enabled=self.bf16):
            heatmaps = self.network(views)
        heatmaps = heatmaps.to(targets.dtype)
        labels = label_loss(heatmaps, targets, weights)
        if teacher_heatmaps is None:
            return labels, labels.new_zeros(())
        asked = weights >= 0 if self.options.teacher_labelled else weights == 0
        mask = asked.to(weights.dtype)
        if self.teacher_joint_mask is not None:
            mask = mask * self.teacher_joint_mask
        return labels, teacher_loss(heatmaps, teacher_heatmaps, mask)

    def backward(self, batches: Iterable[Batch], count: int) -> Tensor:
        """Add up the gradients of a step's mean loss; processes exchange them in its last batch.

        Args:
            batches: Of the step, of equal sizes.
            count: How many.

        Returns:
            (2,) the mean label and teacher losses.
        """
        found = []
        for number, batch in enumerate(batches, 1):
            waits = isinstance(self.network, DistributedDataParallel) and number < count
            with self.network.no_sync() if waits else nullcontext():  # type: ignore[operator]
                labels, distilled = self.compute(*batch)
                weighed = self.options.label_weight * labels
                weighed = weighed + self.options.teacher_weight * distilled
                (weighed / count).backward()  # type: ignore[no-untyped-call]
            found.append(torch.stack((labels.detach(), distilled.detach())))
        return torch.stack(found).mean(dim=0)


def check_finite(result: Tensor, step: int) -> None:
    """Hold a step's losses and gradient norm (3,) to numbers, before anything of it is written.

    Raises:
        FloatingPointError: The run has diverged.
    """
    if not bool(result.isfinite().all()):
        labels, distilled, norm = result.tolist()
        raise FloatingPointError(
            f"at step {step} the loss is {labels + distilled} and the gradients' norm {norm}; "
            "resume from the last checkpoint with a lower train.learning_rate"
        )
