"""Where the commands begin: what they import takes long enough for a Ctrl-C."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any


def load(name: str, module: str) -> Callable[..., Any]:
    """The function ``main`` of a command's module; Ctrl-C meanwhile ends as it does later.

    Args:
        name: of the command, for the message.
        module: which is imported.
    """
    try:
        main: Callable[..., Any] = import_module(module).main
    except KeyboardInterrupt:
        sys.stderr.write(f"{name}: stopped\n")
        sys.exit(128 + signal.SIGINT)
    return main


def main() -> None:
    """The command ``lpn``."""
    load("lpn", "lpn_core.cli")()
