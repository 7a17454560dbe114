"""``python -m lpn_core`` is the command ``lpn``."""

from __future__ import annotations

from lpn_core._command import main

if __name__ == "__main__":
    main()
