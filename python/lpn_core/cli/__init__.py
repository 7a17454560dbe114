"""The command ``lpn``: one file per verb. Needs the extra ``lpn-core[cli]``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

main: Callable[..., Any]

try:
    from lpn_core.cli.app import lpn as main
except ModuleNotFoundError as _error:
    # Anything else that is missing is a fault of the installation, not of the extra.
    if _error.name not in ("click", "tqdm", "PIL"):
        raise
    _missing = _error.name

    def _explain() -> None:
        sys.exit(
            f'lpn: the command line needs {_missing}; to install it: pip install "lpn-core[cli]"'
        )

    main = _explain
