"""lpn verify: whether a model computes on this machine what its maker saw."""

from __future__ import annotations

import json
import math
import sys

import click

from lpn_core.cli.models import open_model, precision_option
from lpn_core.convert import SELF_TEST_TOLERANCES, self_test_error
from lpn_core.estimator import model_path
from lpn_core.model.file import check_sha256
from lpn_core.quantization import heatmaps_sha256


@click.command()
@click.argument("model")
@precision_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def verify(model: str, precision: str, as_json: bool) -> None:
    """Check the SHA-256 of MODEL, a bundled name or a model file, and run its self-test.

    Of a model with scales for int8, the heatmaps of the self-test in int8 must also be those of the
    CPU that it was made on, to the bit.

    Exit status: 0 passed, 1 failed, 2 not a readable model.
    """
    with open_model(model, precision=precision) as opened:
        error = self_test_error(opened)
        name, isa, computed = opened.name, opened.isa, opened.precision
        quantization = opened.file.quantization
        bits: str | None = None
        if quantization is not None and quantization.heatmaps_sha256 is not None:
            same = heatmaps_sha256(opened.file) == quantization.heatmaps_sha256
            bits = "equal" if same else "DIFFERENT"
    try:
        sha256 = check_sha256(model_path(model))
    except (ValueError, OSError) as err:
        raise click.UsageError(str(err)) from None
    # Not `error > tolerance`: a NaN must fail.
    limit: float | None = SELF_TEST_TOLERANCES[computed]
    if computed == "int8" and bits is not None:
        # Equal bits are proof; drawn crops show nobody, and their joints move far.
        limit = None
    passed = bits != "DIFFERENT" and (limit is None or error <= limit)
    if as_json:
        document = {
            "model": name,
            "passed": passed,
            "error_px": error if math.isfinite(error) else None,
            "limit_px": limit,
            "int8_bits": bits and bits.lower(),
            "sha256": sha256,
            "isa": isa,
            "precision": computed,
        }
        click.echo(json.dumps(document, ensure_ascii=False, allow_nan=False))
    else:
        click.echo(
            f"{name}: self-test {'passed' if passed else 'FAILED'}: joints within "
            f"{error:.2g} px{'' if limit is None else f' (limit {limit})'} in {computed} on {isa}; "
            + (f"heatmaps in int8 {bits} to the bit; " if bits else "")
            + f"SHA-256 {sha256}"
        )
    if not passed:
        sys.exit(1)
