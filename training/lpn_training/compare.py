"""Networks against each other on the same persons: paired bootstrap of AP and mean OKS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lpn_training.checkpoint import averaged_weights, load_checkpoint
from lpn_training.config import stored_config
from lpn_training.data.crops import load_crops
from lpn_training.data.shards import find_shards
from lpn_training.models.build import build_model
from lpn_training.validation import Array, PersonScores, average_precision, score_persons

INTERVAL = (0.025, 0.975)


@dataclass(frozen=True)
class Estimate:
    """A figure of one network beside the base's.

    Attributes:
        value: In [0, 1].
        difference: What it is above the base's; 0 for the base itself.
        low: Lower end of the difference's 95% interval over resampled persons.
        high: Its upper end.
    """

    value: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """One network beside the base.

    Attributes:
        name: Of the network.
        ap: Average precision, which few persons near the thresholds decide.
        oks: Mean similarity, which each person moves: it tells apart what AP cannot yet.
    """

    name: str
    ap: Estimate
    oks: Estimate


def score_checkpoint(
    checkpoint: Path, shards: tuple[str, ...], *, flip: bool, device: torch.device
) -> PersonScores:
    """Scores of a checkpoint's averaged network on packed validation crops.

    Args:
        checkpoint: What ``fit`` wrote.
        shards: Files or folders.
        flip: Average with the mirrored crop.
        device: Where to run.
    """
    content = load_checkpoint(checkpoint)
    config = stored_config(content)
    model = build_model(config)
    model.load_state_dict(averaged_weights(content))
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    crops = load_crops(find_shards(shards), workers=0).to(device)
    return score_persons(model.eval().to(device), crops, config.model, flip=flip)


def resampled_ap(found: PersonScores, counts: Array) -> Array:
    """AP (B,) of resamples given as how often (B, N) each person was drawn."""
    return np.array([average_precision(found.oks, found.scores, row) for row in counts])


def compare(found: Mapping[str, PersonScores], resamples: int, seed: int) -> list[Comparison]:
    """Each network beside the first, with every resample of the persons the same for all.

    Args:
        found: Name to scores, of the same persons in the same order; the first is the base.
        resamples: How often persons are drawn with replacement.
        seed: Of the draw.

    Raises:
        ValueError: Networks that were scored on different numbers of persons.
    """
    sizes = {len(scores.oks) for scores in found.values()}
    if len(sizes) != 1:
        raise ValueError(
            f"the networks were scored on {sorted(sizes)} persons; "
            "a paired comparison needs the same ones"
        )
    persons = sizes.pop()
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(persons, np.full(persons, 1 / persons), size=resamples).astype(float)
    base = next(iter(found.values()))
    base_ap, base_oks = resampled_ap(base, counts), counts @ base.oks / persons
    return [
        Comparison(
            name,
            _estimate(scores.ap, base.ap, resampled_ap(scores, counts) - base_ap),
            _estimate(
                float(scores.oks.mean()),
                float(base.oks.mean()),
                counts @ scores.oks / persons - base_oks,
            ),
        )
        for name, scores in found.items()
    ]


def _estimate(value: float, base: float, differences: Array) -> Estimate:
    low, high = np.quantile(differences, INTERVAL)
    return Estimate(value, value - base, float(low), float(high))
