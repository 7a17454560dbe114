"""The training loop."""

from __future__ import annotations

import json
import logging
import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from lpn_training.batches import BatchSource
from lpn_training.checkpoint import (
    averaged_weights,
    generator_state,
    keep_numbered,
    load_checkpoint,
    restore_generators,
    write_text,
    write_whole,
)
from lpn_training.config import Config
from lpn_training.devices import training_device
from lpn_training.distributed import Processes, join_processes, leave_processes
from lpn_training.initial import load_initial, measure_norms
from lpn_training.losses import BatchLoss, check_finite
from lpn_training.models.build import build_model
from lpn_training.optimisation import make_average, make_optimiser, restore_optimiser
from lpn_training.rates import freeze, is_frozen, rate_factors
from lpn_training.resuming import bring_best, open_run, resumed_position
from lpn_training.runlog import RunLog
from lpn_training.schedule import Schedule
from lpn_training.stopping import StopRequest
from lpn_training.validation import beside_ap, score_persons, validation_crops

logger = logging.getLogger(__name__)

STAGES = "stages.json"
# Steps whose time says nothing: PyTorch compiles, tunes and allocates in them.
WARM_STEPS = 3
# BatchNorm's statistics of unfolded weights are those of so many views.
MEASURED_VIEWS = 512


class Trainer:
    """One run: data, networks, optimiser, and the state that a checkpoint keeps.

    Attributes:
        step: Updates made in all stages.
        position: Where the current stage stands.
        best: Score, stage and step of the best weights so far: score -inf for weights that were
            not validated, step 0 before there are any.
        stages: One record per finished stage.
        stop: The signal that ends the run after the step in flight, if one came.
    """

    def __init__(self, config: Config, output: Path, processes: Processes | None = None) -> None:
        train = config.train
        self.config, self.output = config, output
        self.processes = processes or Processes()
        if train.batch_size % self.processes.count:
            raise ValueError(
                f"train.batch_size is {train.batch_size}; it must be a multiple of the "
                f"{self.processes.count} processes that share it"
            )
        self.device = training_device(train.device, self.processes)
        torch.manual_seed(train.seed)
        self.model = build_model(config).to(self.device)
        if train.channels_last:
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        joints = config.model.keypoint_set
        unfolded = bool(train.initial) and load_initial(self.model, train.initial, joints)
        self.batches = BatchSource(config, self.device)
        self.crops_digest = self.batches.crops.digest
        if unfolded:
            steps = range(math.ceil(MEASURED_VIEWS / train.batch_size))
            measure_norms(self.model, (self.batches.draw(step).views for step in steps))
        self.average = make_average(self.model, train.ema_decay)
        self.optimiser = make_optimiser(self.model, train, self.processes)
        freeze(self.model, rate_factors(self.model, train.rate_factors))
        self.network: nn.Module = self.model
        if self.processes.count > 1:
            devices = [self.device.index] if self.device.type == "cuda" else None
            self.network = DistributedDataParallel(self.model, device_ids=devices)
        self.losses = BatchLoss(self.network, config, self.device)
        steps_per_epoch = math.ceil(len(self.batches.sampler) / train.step_size)
        self.schedule = Schedule(config.schedule, steps_per_epoch)
        self.position = self.schedule.begin(0)
        self.step = 0
        self.best: dict[str, Any] = {"score": -math.inf, "stage": 0, "step": 0}
        self.stage_best = dict(self.best)
        self.stages: list[dict[str, Any]] = []
        self.stop = StopRequest()
        self.run_log: RunLog | None = None
        self.validation = validation_crops(self.batches) if self.processes.rank == 0 else {}

    def take_weights(self, path: Path) -> None:
        """Put a checkpoint's averaged weights into the model."""
        self.model.load_state_dict(averaged_weights(load_checkpoint(path, self.device)))

    # --- one step ----------------------------------------------------------------------------

    def train_step(self) -> Tensor:
        """One update; returns the two losses and the gradient norm as one tensor on the device."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate * group["rate_factor"]
        self.optimiser.zero_grad(set_to_none=True)
        rank, count = self.processes.rank, self.processes.count
        turns = range(self.config.train.accumulate)
        draws = (
            self.batches.draw(self.step, rank, count, turn=turn, size=self.view_size)
            for turn in turns
        )
        losses = self.losses.backward(draws, len(turns))
        limit = self.config.train.clip_norm or math.inf
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        self.optimiser.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        self.step += 1
        return torch.stack((*losses, norm))

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return self.config.train.learning_rate * self.schedule.factor(self.position)

    @property
    def view_size(self) -> tuple[int, int]:
        """Height and width of the next step's views."""
        model = self.config.model
        height = self.schedule.view_height(self.position, model.height)
        return height, height * model.width // model.height

    def training_mode(self) -> None:
        """Networks learn; BatchNorm does not where it is frozen."""
        self.model.train()
        for module in self.model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.train(not (self.config.train.freeze_norm or is_frozen(module)))

    # --- validation, stages ------------------------------------------------------------------

    def validate(self) -> None:
        """Score the averaged model; keep it where it is the best of its stage or of all."""
        score = math.nan
        values: dict[str, float] = {}
        if self.validation:
            network = self.model if self.average is None else self.average.module
            network.eval()
            for prefix, crops in self.validation.items():
                found = score_persons(network, crops, self.config.model)
                values |= {f"{prefix}ap": found.ap, f"{prefix}oks": float(found.oks.mean())}
            self.training_mode()
            score = values["ap"]
            self.log(**values)
        self.keep(self.processes.agree(-math.inf if math.isnan(score) else score)[0], values)

    def keep(
        self, score: float, values: dict[str, float] | None = None, *, validated: bool = True
    ) -> None:
        """Write ``stage-S.pt`` and ``best.pt`` where ``score`` is higher than any before.

        Where nothing is validated, the last weights replace those before them, for any AP to beat.

        Args:
            score: To compare weights by.
            values: What process 0 noted beside it, by the columns of the log.
            validated: Whether the score is an AP.
        """
        now = {"score": score, "stage": self.position.stage, "step": self.step}
        now |= values or {}
        better = not validated or score > self.stage_best["score"]
        best = not validated or score > self.best["score"]
        self.stage_best = now if better else self.stage_best
        self.best = now if best else self.best
        if better:
            self.save(f"stage-{self.position.stage}.pt")
        if best:
            self.save("best.pt")
        if better:
            # Else a kill before the next save would leave weights of which last.pt knows nothing.
            self.save("last.pt")

    def end_stage(self) -> None:
        """Record the stage; begin the next one from the best weights of all stages."""
        stage = self.position.stage
        if not self.config.data.validates:
            self.keep(-math.inf, validated=False)
        elif not self.validation_due():
            self.validate()
        self.stages.append(
            {
                "stage": stage,
                "steps": self.step,
                "samples": self.step * self.config.train.step_size,
                "ap": self.stage_best["score"] if self.config.data.validates else None,
                "best_step": self.stage_best["step"],
                "improved": self.best["stage"] == stage,
                **beside_ap(self.stage_best),
            }
        )
        if self.processes.rank == 0:
            write_text(self.output / STAGES, json.dumps(self.stages, indent=1) + "\n")
        self.position = self.schedule.begin(stage + 1)
        self.stage_best = {"score": -math.inf, "stage": stage + 1, "step": self.step}
        if stage + 1 < self.config.schedule.stages:
            self.hand_over()
        self.save("last.pt")

    def hand_over(self) -> None:
        """Take the best weights so far, a fresh average and a fresh optimiser into a stage."""
        self.processes.wait()
        # Of all files of the best weights only this one is never written again.
        self.take_weights(self.output / f"stage-{self.best['stage']}.pt")
        self.average = make_average(self.model, self.config.train.ema_decay)
        self.optimiser = make_optimiser(self.model, self.config.train, self.processes)

    def validation_due(self) -> bool:
        """Whether the step just made is one to validate after."""
        train = self.config.train
        if not self.config.data.validates:
            return False
        if train.validate_epochs > 0:
            return self.position.step % (train.validate_epochs * self.schedule.steps_per_epoch) == 0
        return self.step % train.validate_every == 0

    # --- state -------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        content: dict[str, Any] = {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "position": asdict(self.position),
            "progress": self.schedule.progress(self.position),
            "best": self.best,
            "stage_best": self.stage_best,
            "stages": self.stages,
            # The sampler and the augmentation are functions of the first two and of the crops.
            "sampler": {
                "seed": self.config.train.seed,
                "step": self.step,
                "digest": self.crops_digest,
            },
            "rng": generator_state(self.device),
            "config": self.config.to_dict(),
        }
        if self.average is not None:
            content["ema"] = self.average.module.state_dict()
            content["ema_updates"] = self.average.n_averaged
        return content

    def resume(self, path: Path) -> None:
        """Continue from a checkpoint of the same run, or one with other settings but the model's.

        Raises:
            ValueError: A checkpoint of another network or of an earlier version.
        """
        content, stored = open_run(path, self.device, self.config, self.crops_digest)
        self.model.load_state_dict(content["model"])
        restore_optimiser(self.optimiser, self.model, content["optimiser"])
        self.step, self.position = content["step"], resumed_position(content, stored, self.schedule)
        self.best, self.stage_best = content["best"], content["stage_best"]
        self.stages = content["stages"]
        if self.average is not None:
            # A run without an average begins one here, from the weights just loaded.
            self.average.module.load_state_dict(averaged_weights(content))
            self.average.n_averaged.fill_(content.get("ema_updates", 0))
        restore_generators(content["rng"], self.device)
        if self.best["step"] > 0 and not bring_best(path.parent, self.output, self.best):
            self.best = {"score": -math.inf, "stage": self.position.stage, "step": 0}
            self.stage_best = dict(self.best)
        if stored.schedule.stages <= self.position.stage < self.config.schedule.stages:
            # A finished run, to which the configuration adds stages.
            self.hand_over()
        logger.info("resumed %s at step %d, %s", path, self.step, self.position)

    def log(self, **values: float) -> None:
        """Append one entry to the run's logs."""
        if self.run_log is not None:
            place = {
                "step": self.step,
                "stage": self.position.stage,
                "epoch": self.position.step / self.schedule.steps_per_epoch,
                "progress": self.schedule.progress(self.position),
            }
            self.run_log.write({**place, **values})

    def save(self, name: str) -> None:
        """Write a checkpoint into the output folder."""
        if self.processes.rank == 0:
            write_whole(self.output / name, self.state())

    # --- the loop ----------------------------------------------------------------------------

    def run(self, max_seconds: float = 0.0) -> None:
        """Train until the last stage ends, time is up, or SIGTERM or SIGINT arrives; then save."""
        self.output.mkdir(parents=True, exist_ok=True)
        if self.processes.rank == 0:
            board = self.config.train.tensorboard
            self.run_log = RunLog(self.output, self.step, tensorboard=board)
        try:
            with self.stop:
                self._loop(max_seconds)
                self.save("last.pt")
        finally:
            if self.run_log is not None:
                self.run_log.close()
        self.processes.wait()

    def _loop(self, max_seconds: float) -> None:
        train = self.config.train
        started = clock = tick = time.monotonic()
        clock_step = first = self.step
        bar = tqdm(
            total=self.config.schedule.stages, unit="stage", mininterval=5, leave=False,
            bar_format="{l_bar}{bar}| {n:.3f}/{total} [{elapsed}<{remaining}{postfix}]",
            disable=True if self.processes.rank else None,
        )  # fmt: skip
        self.training_mode()
        while self.position.stage < self.config.schedule.stages:
            if self.schedule.finished(self.position):
                self.end_stage()
                continue
            rate = self.learning_rate
            result = self.train_step()
            if self.step - first <= WARM_STEPS:
                if self.device.type == "cuda":
                    torch.cuda.synchronize()
                clock, clock_step = time.monotonic(), self.step
                elapsed = 0.0
            else:
                elapsed = time.monotonic() - tick
            tick = time.monotonic()
            ends = self.stop.received is not None or 0 < max_seconds < tick - started
            stop, elapsed = self.processes.agree(float(ends), elapsed)
            self.position = self.schedule.advance(self.position, elapsed)
            logs = self.step % train.log_every == 0
            saves = self.step % train.save_every == 0
            validates = self.validation_due()
            if logs or saves or validates or stop or self.schedule.finished(self.position):
                check_finite(result, self.step)
            if logs:
                labels, distilled, norm = result.tolist()
                images = (self.step - clock_step) * train.step_size
                speed = images / max(time.monotonic() - clock, 1e-9)
                clock, clock_step = time.monotonic(), self.step
                self.log(lr=rate, label=labels, teacher=distilled, norm=norm, per_second=speed)
                bar.set_postfix(label=f"{labels:.2e}", teacher=f"{distilled:.2e}", refresh=False)
                done = self.position.stage + self.schedule.progress(self.position)
                bar.update(done - bar.n)
            if validates:
                self.validate()
            if saves:
                self.save("last.pt")
                if train.keep_last and self.processes.rank == 0:
                    keep_numbered(self.output / "last.pt", self.step, train.keep_last)
            if validates or saves:
                clock, clock_step = time.monotonic(), self.step
            if stop:
                break
        bar.close()


def fit(
    config: Config, output: Path, *, resume: Path | None = None, max_seconds: float = 0.0
) -> Trainer:
    """Train as configured; under torchrun, as one of its processes.

    Args:
        config: What ``load_config`` returned.
        output: Folder for ``last.pt``, ``best.pt``, ``stage-S.pt``, ``step-STEP.pt``,
            ``stages.json`` and the logs.
        resume: Checkpoint to continue from, bit for bit on the CPU.
        max_seconds: Stop and save after this long (0: never); the schedule goes on at the resume.

    Raises:
        ValueError: A contradiction in the configuration, or a run that is there already.
    """
    if resume is None and (output / "last.pt").exists():
        raise ValueError(f"{output} holds a run: --resume {output / 'last.pt'}, or another folder")
    processes = join_processes(config.train.device)
    try:
        trainer = Trainer(config, output, processes)
        if resume is not None:
            trainer.resume(resume)
        trainer.run(max_seconds)
    finally:
        leave_processes()
    return trainer
