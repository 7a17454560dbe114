"""``python -m lpn_training``: the ``lpn-train`` command, for torchrun."""

from __future__ import annotations

from lpn_training.cli import main

main(prog_name="lpn-train")
