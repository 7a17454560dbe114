"""``python -m lpn_core`` is the command ``lpn``."""

from __future__ import annotations

from lpn_core.cli import main

if __name__ == "__main__":
    main()
