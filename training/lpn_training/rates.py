"""How fast the parts of a network learn, beside the run's learning rate."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from lpn_training.models.lpn import PARTS


def rate_factors(model: nn.Module, table: Mapping[str, float]) -> dict[str, float]:
    """What each parameter's learning rate is multiplied by.

    Args:
        model: An LPN.
        table: Factors of parts: "backbone" and "head", or a module or parameter by its path, as in
            "layer4" or "layer4.2.conv1". Of several that hold a parameter the longest path counts.

    Returns:
        A factor per parameter, by its name; 1 for those that the table does not hold.

    Raises:
        ValueError: There is no such part, or nothing is left to learn.
    """
    paths = {path: (path,) for path in _paths(model)} | PARTS
    unknown = sorted(set(table) - set(paths))
    if unknown:
        known = [*PARTS, *(path for path in paths if "." not in path and path not in PARTS)]
        raise ValueError(
            f"train.rate_factors names {unknown[0]!r}; known are {', '.join(known)}, and what is "
            "in them, such as layer4.0 or layer4.0.conv1"
        )
    factors = {}
    for name, _ in model.named_parameters():
        # Named parts are the coarsest: any path is finer.
        found = [
            (key not in PARTS, len(key), factor)
            for key, factor in table.items()
            if any(_holds(path, name) for path in paths[key])
        ]
        factors[name] = max(found)[2] if found else 1.0
    if not any(factors.values()):
        raise ValueError(f"train.rate_factors is {dict(table)}: nothing is left to learn")
    return factors


def _paths(model: nn.Module) -> list[str]:
    """All parameters, and the modules that hold some, by their paths."""
    paths: dict[str, None] = {}
    for name, _ in model.named_parameters():
        steps = name.split(".")
        paths |= dict.fromkeys(".".join(steps[:count]) for count in range(1, len(steps) + 1))
    return list(paths)


def _holds(path: str, name: str) -> bool:
    return name == path or name.startswith(f"{path}.")


def freeze(model: nn.Module, factors: Mapping[str, float]) -> None:
    """Keep the parameters with factor 0 from learning; ``is_frozen`` tells BatchNorms of them."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(factors[name] > 0)


def is_frozen(norm: nn.BatchNorm2d) -> bool:
    """Whether neither scale nor shift learns, so that the statistics are not to move either."""
    return not any(parameter.requires_grad for parameter in norm.parameters())
