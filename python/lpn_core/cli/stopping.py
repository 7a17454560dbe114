"""Ctrl-C and SIGTERM in a long run: what is done so far is kept."""

from __future__ import annotations

import contextlib
import os
import signal
import sys

from lpn_core._signals import SignalNote


class StopRequest(SignalNote):
    """Inside ``with``, the first of these signals is only noted; the next acts as ever."""

    def __init__(self, unit: str) -> None:
        """Leaves the signals alone until ``with``.

        Args:
            unit: what is finished before the run ends, such as "image".
        """
        super().__init__()
        self._unit = unit

    @property
    def exit_code(self) -> int:
        """What shells say of a process that the signal ended; 0 where there was none."""
        return 0 if self.received is None else 128 + self.received

    def note(self, received: signal.Signals) -> None:
        """Says what happens now, and leaves the next signal to whoever handled it before."""
        super().note(received)
        self.restore()
        text = f"lpn: {received.name}: stopping after this {self._unit}; again to stop at once"
        # Past Python's buffers, in which the signal may have come.
        with contextlib.suppress(OSError, ValueError):
            stderr = sys.stderr.fileno()
            os.write(stderr, ("\n" * os.isatty(stderr) + text + "\n").encode())
