"""The ``lpn-train`` command: pack, fit, eval, export."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import click

EXISTING = click.Path(exists=True, path_type=Path)
ANY_PATH = click.Path(path_type=Path)


@click.group()
@click.option("-v", "--verbose", is_flag=True, help="Log what is going on.")
def main(verbose: bool) -> None:
    """Train, evaluate and export pose networks for lpn_core."""
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(name)s: %(message)s")


@main.command()
@click.option("--annotations", type=EXISTING, required=True, help="COCO keypoint JSON.")
@click.option("--images", type=EXISTING, required=True, help="Folder of the images.")
@click.option("--source", default="coco", show_default=True, help="Name of this data source.")
@click.option("--quality", default=80, show_default=True, type=click.IntRange(1, 100))
@click.option("-o", "--output", type=ANY_PATH, required=True, help="Folder for the shards.")
def pack(annotations: Path, images: Path, source: str, quality: int, output: Path) -> None:
    """Cut the persons of a COCO data set into tar shards."""
    from lpn_training.data.pack import pack_coco

    shards = pack_coco(annotations, images, output, source=source, quality=quality)
    click.echo(f"wrote {len(shards)} shards to {output}")


@main.command()
@click.argument("config", type=EXISTING)
@click.option("-o", "--output", type=ANY_PATH, required=True, help="Folder for checkpoints.")
@click.option("--resume", type=EXISTING, help="Checkpoint to continue from.")
@click.option("--max-seconds", default=0.0, help="Stop and save after so long (0: never).")
@click.option("--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE",
              help="Override a configuration value (TOML syntax).")  # fmt: skip
def fit(
    config: Path, output: Path, resume: Path | None, max_seconds: float, overrides: tuple[str, ...]
) -> None:
    """Train as a TOML file says."""
    from lpn_training.config import load_config
    from lpn_training.train import fit as run

    try:
        settings = load_config(config, overrides)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    trainer = run(settings, output, resume=resume, max_seconds=max_seconds)
    click.echo(f"step {trainer.step}, progress {trainer.progress:.3f}: {output / 'last.pt'}")


@main.command("eval")
@click.argument("checkpoint", type=EXISTING)
@click.option("--annotations", type=EXISTING, required=True, help="COCO keypoint JSON.")
@click.option("--images", type=EXISTING, required=True, help="Folder of the images.")
@click.option("--flip", is_flag=True, help="Average with the mirrored image.")
@click.option("--decode", "decodes", multiple=True,
              type=click.Choice(["argmax", "argmax-quarter", "beta", "beta-quarter"]),
              help="Which decodes (default: all).")  # fmt: skip
@click.option("--official", is_flag=True, help="Clip boxes and apply OKS-NMS as the LPN code does.")
@click.option("--limit", default=0, help="Only so many images (0: all).")
@click.option("--device", default="cpu", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(
    checkpoint: Path,
    annotations: Path,
    images: Path,
    flip: bool,
    decodes: tuple[str, ...],
    official: bool,
    limit: int,
    device: str,
    as_json: bool,
) -> None:
    """COCO keypoint AP of CHECKPOINT (or an .onnx teacher) with ground-truth boxes."""
    import torch
    from lpn_core.model_spec import InputSpec

    from lpn_training import evaluate as evaluation
    from lpn_training.data.coco import CocoPersons

    persons = CocoPersons(annotations, images, limit=limit, clip=official)
    if checkpoint.suffix == ".onnx":
        network, spec = evaluation.onnx_network(checkpoint), InputSpec(channel_order="rgb")
    else:
        network, spec = evaluation.checkpoint_network(checkpoint, torch.device(device))
    chosen = {name: evaluation.DECODES[name] for name in decodes or evaluation.DECODES}
    found = evaluation.evaluate(persons, network, spec, flip=flip, nms=official, decodes=chosen)
    click.echo(json.dumps(found) if as_json else _table(found))


def _table(found: dict[str, dict[str, float]]) -> str:
    """Metrics as aligned text, one decode per row."""
    columns = list(next(iter(found.values())))
    rows = [f"{'decode':<16}" + "".join(f"{name:>8}" for name in columns)]
    for name, values in found.items():
        rows.append(f"{name:<16}" + "".join(f"{values[key]:>8.3f}" for key in columns))
    return "\n".join(rows)


@main.command()
@click.argument("checkpoint", type=EXISTING)
@click.option("-o", "--output", type=ANY_PATH, required=True, help="The .safetensors to write.")
@click.option("--name", required=True, help="Name of the model, such as lpn50.")
@click.option("--bf16", is_flag=True, help="Round the weights to bfloat16: half the size.")
@click.option("--training-data", help="For the model's card.")
@click.option("--ap", type=float, help="COCO AP without flip test, 0..1; --notes say on what.")
@click.option("--ap-flip", type=float, help="COCO AP with flip test, 0..1.")
@click.option("--notes", help="What a user should know.")
def export(checkpoint: Path, output: Path, bf16: bool, **card: Any) -> None:
    """Write the averaged weights of CHECKPOINT as a model file for lpn_core."""
    from lpn_training.export import export_checkpoint

    dtype = "bfloat16" if bf16 else "float32"
    export_checkpoint(checkpoint, output, dtype=dtype, **card)
    click.echo(f"wrote {output}")
