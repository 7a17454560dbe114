"""Pictures of runs and comparisons. Needs the extra ``lpn-training[plot]`` (matplotlib)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from lpn_training.compare import Comparison


def _new_figure(**options: Any) -> Any:
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ValueError('plots need matplotlib: pip install "lpn-training[plot]"') from error
    # No pyplot: nothing global, no display.
    return Figure(layout="constrained", **options)


def plot_runs(runs: Mapping[str, Sequence[dict[str, Any]]], output: Path) -> None:
    """Loss, learning rate and AP over the steps of runs; dashed lines begin stages.

    Args:
        runs: Name to log entries, as ``runlog.read_log`` gives them.
        output: The picture to write, in the format of its suffix.
    """
    figure = _new_figure(figsize=(9, 9))
    loss, rate, ap = figure.subplots(3, 1, sharex=True)
    for index, (name, entries) in enumerate(runs.items()):
        colour = f"C{index}"
        for axes, key, style in (
            (loss, "label", "-"), (loss, "teacher", ":"), (rate, "lr", "-"), (ap, "ap", "o-"),
            (ap, "reported_ap", "s--"), (ap, "trained_ap", "^:"),
        ):  # fmt: skip
            points = [(entry["step"], entry[key]) for entry in entries if key in entry]
            if not points or (key == "teacher" and not any(value for _, value in points)):
                continue
            label = name if axes is rate else f"{name}, {key}"
            axes.plot(*_columns(points), style, color=colour, label=label, markersize=3)
        for before, after in pairwise(entries):
            if after["stage"] != before["stage"]:
                for axes in (loss, rate, ap):
                    axes.axvline(before["step"], color=colour, linestyle="--", linewidth=0.8)
    loss.set(ylabel="loss", yscale="log")
    rate.set(ylabel="learning rate", yscale="log")
    ap.set(ylabel="AP on packed crops", xlabel="step")
    for axes in (loss, rate, ap):
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    figure.savefig(output)


def plot_comparison(found: Sequence[Comparison], output: Path) -> None:
    """AP and mean OKS of each network, and how far above the first with the 95% intervals."""
    figure = _new_figure(figsize=(9, 1.5 + 0.5 * len(found)))
    left, right = figure.subplots(1, 2, sharey=True)
    places = range(len(found))
    for index, name in enumerate(("ap", "oks")):
        estimates = [getattr(entry, name) for entry in found]
        rows = [place + 0.4 * index - 0.2 for place in places]
        label = {"ap": "AP", "oks": "mean OKS"}[name]
        colour = f"C{index}"
        left.barh(rows, [entry.value for entry in estimates], 0.4, color=colour, label=label)
        for row, entry in zip(rows[1:], estimates[1:], strict=True):
            right.plot([entry.low, entry.high], [row, row], color=colour, linewidth=3)
            right.plot([entry.difference], [row], "o", color=colour)
    left.set_yticks(places, [entry.name for entry in found])
    left.invert_yaxis()
    figure.legend(loc="outside upper center", ncols=2)
    right.axvline(0, color="black", linewidth=0.8)
    right.set(xlabel="above the first, 95% interval over persons")
    figure.savefig(output)


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]
