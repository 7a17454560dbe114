"""Ctrl-C and SIGTERM in a long run: what is done so far is kept."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Inside ``with``, the first of these signals is only noted; the next acts as ever.

    Attributes:
        received: the signal, or None.
    """

    def __init__(self, unit: str) -> None:
        """Leaves the signals alone until ``with``.

        Args:
            unit: what is finished before the run ends, such as "image".
        """
        self._unit = unit
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequest:
        # Python runs handlers in the main thread only.
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                # Ignored ones stay so, as after nohup or in a shell's background.
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._restore()

    @property
    def exit_code(self) -> int:
        """What shells say of a process that the signal ended; 0 where there was none."""
        return 0 if self.received is None else 128 + self.received

    def _note(self, number: int, _: FrameType | None) -> None:
        self.received = signal.Signals(number)
        self._restore()
        text = f"lpn: {self.received.name}: stopping after this {self._unit}; again to stop at once"
        # Past Python's buffers, in which the signal may have come.
        with contextlib.suppress(OSError, ValueError):
            stderr = sys.stderr.fileno()
            os.write(stderr, ("\n" * os.isatty(stderr) + text + "\n").encode())

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
