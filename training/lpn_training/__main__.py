"""The ``lpn-train`` command; for torchrun also ``python -m lpn_training``."""

from __future__ import annotations

from lpn_core._command import load


def main() -> None:
    """The command ``lpn-train``."""
    load("lpn-train", "lpn_training.cli")(prog_name="lpn-train")


if __name__ == "__main__":
    main()
