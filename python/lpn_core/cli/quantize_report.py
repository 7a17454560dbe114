"""The report of `lpn quantize` as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lpn_core._text import align

_HEADINGS = (
    "layer", "precision", "range", "clipped", "map dB", "weights dB", "result dB", "fp32 ms",
    "int8 ms", "won",
)  # fmt: skip


def report_lines(document: dict[str, Any]) -> Iterator[str]:
    """Lines of the report that ``--json`` prints as it is."""
    rows = [_row(layer) for layer in document["layers"]]
    yield from align([list(_HEADINGS), *rows], left=2)
    yield ""
    yield (
        f"scales from {document['crops']} crops, judged on {document['judged_crops']} "
        + ("others" if document["judged_apart"] else "of them: too few for both")
    )
    drift = document["drift"]
    yield (
        f"drift in heatmap px: median {drift['median']:.3f}, p95 {drift['p95']:.3f}; of the "
        f"{drift['clear_share']:.0%} of joints that are clear in fp32 median "
        f"{drift['clear_median']:.3f}, p95 {drift['clear_p95']:.3f}; OKS to fp32 {drift['oks']:.4f}"
    )
    accuracy = document["accuracy"]
    if accuracy is not None:
        yield (
            f"AP {accuracy['reference']:.4f} in fp32, {accuracy['quantized']:.4f} in int8: "
            f"{-accuracy['drop']:+.4f} (95%: {accuracy['low']:+.4f} to {accuracy['high']:+.4f}; "
            f"{accuracy['people']} people, {accuracy['images']} pictures)"
        )
    yield (
        f"one crop: {document['fp32_ms']:.2f} ms in fp32, {document['int8_ms']:.2f} ms in int8 "
        f"({document['speedup']:.2f} x) on {document['isa']}, threads: {document['threads']}"
    )


def _row(layer: dict[str, Any]) -> list[str]:
    def text(value: float | None, form: str) -> str:
        return "" if value is None else format(value, form)

    reach = "" if layer["least"] is None else f"{layer['least']:.2f} .. {layer['most']:.2f}"
    both = layer["fp32_ms"] is not None and layer["int8_ms"] is not None
    return [
        layer["name"],
        layer["precision"],
        reach,
        text(layer["clipped"], ".3%"),
        text(layer["map_snr"], ".1f"),
        text(layer["weight_snr"], ".1f"),
        text(layer["snr"], ".1f"),
        text(layer["fp32_ms"], ".3f"),
        text(layer["int8_ms"], ".3f"),
        f"{layer['fp32_ms'] - layer['int8_ms']:.3f}" if both else "",
    ]
