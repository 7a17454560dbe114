"""lpn info: what a model file says."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from lpn_core.cli.models import open_model, precision_option
from lpn_core.estimator import model_card, model_path
from lpn_core.model.file import stored_sha256
from lpn_core.model.model import Model
from lpn_core.model.quantization import WEIGHT_SCALE, quantized_nodes
from lpn_core.model.spec import ModelFile


@click.command()
@click.argument("model")
@precision_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def info(model: str, precision: str, as_json: bool) -> None:
    """Show what MODEL, a bundled name or a model file, is."""
    with open_model(model, precision=precision) as opened:
        document = {**describe(opened), "card": model_card(model)}
    document["sha256"] = stored_sha256(model_path(model))
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False, allow_nan=False))
        return
    steps = document.pop("steps")
    for key, value in document.items():
        if key in ("card", "quantization") and value is None:
            continue
        if isinstance(value, dict):
            click.echo(f"{key}:")
            for inner, entry in value.items():
                click.echo(f"  {inner}: {_text(entry)}")
        else:
            click.echo(f"{key}: {_text(value)}")
    click.echo(f"steps: {len(steps)}")
    for step in steps:
        flops = step.get("flops", 0)
        click.echo(f"  {step['name']:<32} {step['kernel']:<40} {flops / 1e6:>10.2f} MFLOP")


def describe(model: Model) -> dict[str, Any]:
    """What there is to know of a model, as JSON takes it."""
    file = model.file
    height, width, joints = model.heatmap_shape(file.input.height, file.input.width)
    return {
        "name": file.name,
        "parameters_folded": sum(
            array.size for name, array in file.weights.items() if not name.endswith(WEIGHT_SCALE)
        ),
        "nodes": len(file.graph.nodes),
        "keypoints": file.keypoints,
        "heatmaps": {"height": height, "width": width, "joints": joints},
        "input": asdict(file.input),
        "decode": asdict(file.decode),
        "provenance": asdict(file.provenance),
        "self_test": {
            "crops": len(file.self_test.crops),
            "joints": file.self_test.keypoints.shape[1],
        },
        "quantization": _quantization(file),
        "isa": model.isa,
        "precision": model.precision,
        "threads": model.threads,
        "steps": list(model.steps()),
    }


def _quantization(file: ModelFile) -> dict[str, Any] | None:
    quantization = file.quantization
    if quantization is None:
        return None
    return {
        "maps": len(quantization.tensors),
        "products": sum(1 for _ in quantized_nodes(file.graph, quantization.float_nodes)),
        "float_nodes": list(quantization.float_nodes),
        "images": quantization.images,
        "heatmaps_sha256": quantization.heatmaps_sha256,
    }


def _text(value: object) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(str(entry) for entry in value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "not known" if value is None else str(value)
