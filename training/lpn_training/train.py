"""The training loop."""

from __future__ import annotations

import json
import logging
import math
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from lpn_training.batches import BatchSource, find_shards
from lpn_training.checkpoint import averaged_weights, load_checkpoint, write_whole
from lpn_training.config import Config, TrainConfig
from lpn_training.data.crops import CropSet, load_crops
from lpn_training.losses import label_loss, teacher_loss
from lpn_training.models.lpn import LPN
from lpn_training.schedule import advance, learning_rate_factor
from lpn_training.validation import validation_oks

logger = logging.getLogger(__name__)


def build_model(config: Config) -> LPN:
    """The network a configuration names, freshly initialised."""
    model = config.model
    attention: Any = None if model.attention == "none" else model.attention
    initialisation: Any = model.initialisation
    return LPN(model.depth, attention, model.num_joints, initialisation)


def make_optimiser(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Adam or AdamW; weight decay spares biases and normalisation."""
    if config.optimiser not in ("adam", "adamw"):
        raise ValueError(f"train.optimiser is {config.optimiser!r}; it must be 'adam' or 'adamw'")
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    kind = torch.optim.Adam if config.optimiser == "adam" else torch.optim.AdamW
    fused = parameters[0].is_cuda
    return kind(groups, lr=config.learning_rate, fused=fused)


class Trainer:
    """One run: data, networks, optimiser, and the state that a checkpoint keeps."""

    def __init__(self, config: Config, output: Path) -> None:
        self.config = config
        self.output = output
        self.device = torch.device(config.train.device)
        torch.manual_seed(config.train.seed)
        if self.device.type == "cuda":
            torch.backends.cudnn.benchmark = True
            torch.set_float32_matmul_precision("high")
        model = build_model(config).to(self.device)
        self.model: LPN = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if config.train.initial:
            weights = averaged_weights(load_checkpoint(Path(config.train.initial)))
            self.model.load_state_dict(weights)
        self.average: AveragedModel | None = None
        if config.train.ema_decay > 0:
            self.average = AveragedModel(
                self.model,
                multi_avg_fn=get_ema_multi_avg_fn(  # type: ignore[no-untyped-call]
                    config.train.ema_decay
                ),
                use_buffers=True,
            )
        self.optimiser = make_optimiser(self.model, config.train)
        self.step = 0
        self.progress = config.schedule.start
        self.best = -math.inf
        self.stopping = False
        self.compute = torch.compile(self.losses) if config.train.compile else self.losses
        self.batches = BatchSource(config, self.device)
        self.validation: CropSet | None = None
        if config.data.validation_shards:
            shards = find_shards(config.data.validation_shards)
            self.validation = load_crops(shards, workers=config.data.workers).to(self.device)

    def losses(
        self, views: Tensor, targets: Tensor, weights: Tensor, taught: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The label and teacher losses of one batch."""
        enabled = self.config.train.bf16
        with torch.autocast(self.device.type, torch.bfloat16, enabled=enabled):
            heatmaps = self.model(views)
        heatmaps = heatmaps.float()
        labels = label_loss(heatmaps, targets, weights)
        distilled = labels.new_zeros(()) if taught is None else teacher_loss(heatmaps, taught)
        return labels, distilled

    def train_step(self) -> Tensor:
        """One update; returns the two losses and the gradient norm as one tensor on the device."""
        factor = learning_rate_factor(self.config.schedule, self.progress)
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.train.learning_rate * factor
        labels, distilled = self.compute(*self.batches.draw(self.step))
        loss_config = self.config.loss
        loss = loss_config.label_weight * labels + loss_config.teacher_weight * distilled
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        limit = self.config.train.clip_norm or math.inf
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        self.optimiser.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        self.step += 1
        return torch.stack((labels.detach(), distilled.detach(), norm))

    def validate(self) -> float:
        """Mean OKS of the averaged model on the validation crops."""
        assert self.validation is not None
        network = self.model if self.average is None else self.average.module
        network.eval()
        score = validation_oks(network, self.validation, self.config.model)
        self.model.train()
        return score

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        content: dict[str, Any] = {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "progress": self.progress,
            "best": self.best,
            "config": self.config.to_dict(),
        }
        if self.average is not None:
            content["ema"] = self.average.module.state_dict()
            content["ema_updates"] = self.average.n_averaged
        return content

    def resume(self, path: Path) -> None:
        """Continue from a checkpoint of the same model."""
        content = load_checkpoint(path, self.device)
        self.model.load_state_dict(content["model"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.step, self.progress = content["step"], content["progress"]
        self.best = content["best"]
        if self.average is not None:
            self.average.module.load_state_dict(content["ema"])
            self.average.n_averaged.copy_(content["ema_updates"])
        logger.info("resumed %s at step %d, progress %.4f", path, self.step, self.progress)

    def log(self, **values: float) -> None:
        """Append one line to the run's JSONL log."""
        with (self.output / "log.jsonl").open("a") as stream:
            stream.write(json.dumps({"step": self.step, "progress": self.progress, **values}))
            stream.write("\n")

    def save(self, name: str) -> None:
        """Write a checkpoint into the output folder."""
        write_whole(self.output / name, self.state())

    def finish_step_and_stop(self, signum: int, frame: FrameType | None) -> None:
        """Signal handler: the loop ends after the step in flight and saves."""
        self.stopping = True

    def run(self, max_seconds: float = 0.0) -> None:
        """Train until the schedule ends, the time is used up, or SIGTERM arrives; then save."""
        self.output.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        previous = signal.signal(signal.SIGTERM, self.finish_step_and_stop)
        try:
            self._loop(started, max_seconds)
        finally:
            signal.signal(signal.SIGTERM, previous)
        self.save("last.pt")

    def _loop(self, started: float, max_seconds: float) -> None:
        train = self.config.train
        self.model.train()
        bar = tqdm(total=1.0, initial=self.progress, unit="run", mininterval=5)
        clock, clock_step, first = time.monotonic(), self.step, self.step
        while self.progress < 1 - 1e-9 and not self.stopping:
            result = self.train_step()
            now = time.monotonic()
            if self.step - first <= 3:
                # Compilation is no part of a time budget.
                if self.device.type == "cuda":
                    torch.cuda.synchronize()
                clock, clock_step, tick = time.monotonic(), self.step, time.monotonic()
                elapsed = 0.0
            else:
                elapsed, tick = now - tick, now
            self.progress = min(1.0, self.progress + advance(self.config.schedule, elapsed))
            if self.step % train.log_every == 0:
                labels, distilled, norm = result.tolist()
                if not math.isfinite(labels + distilled):
                    raise FloatingPointError(
                        f"the loss is {labels + distilled} at step {self.step}; "
                        "resume from the last checkpoint with a lower train.learning_rate"
                    )
                images = (self.step - clock_step) * train.batch_size
                seconds = max(time.monotonic() - clock, 1e-9)
                clock, clock_step = time.monotonic(), self.step
                self.log(label=labels, teacher=distilled, norm=norm, per_second=images / seconds)
                bar.set_postfix(label=f"{labels:.2e}", teacher=f"{distilled:.2e}", refresh=False)
                bar.update(self.progress - bar.n)
            if self.validation is not None and self.step % train.validate_every == 0:
                score = self.validate()
                self.log(oks=score)
                if score > self.best:
                    self.best = score
                    self.save("best.pt")
            if self.step % train.save_every == 0:
                self.save("last.pt")
            if max_seconds > 0 and time.monotonic() - started > max_seconds:
                break
        if self.validation is not None:
            self.log(oks=self.validate())
        bar.close()


def fit(
    config: Config, output: Path, *, resume: Path | None = None, max_seconds: float = 0.0
) -> Trainer:
    """Train as configured.

    Args:
        config: What ``load_config`` returned.
        output: Folder for ``last.pt``, ``best.pt`` and ``log.jsonl``.
        resume: Checkpoint to continue from, bit for bit on the CPU.
        max_seconds: Stop and save after this long (0: never); the schedule goes on at the resume.
    """
    trainer = Trainer(config, output)
    if resume is not None:
        trainer.resume(resume)
    trainer.run(max_seconds)
    return trainer
