"""Signals that end a long run in order: Ctrl-C and SIGTERM, noted instead of obeyed."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class SignalNote:
    """Inside ``with``, the signals are only noted, in the main thread; a subclass may do more.

    Attributes:
        received: the last one; None without one.
    """

    def __init__(self) -> None:
        """Leaves the signals alone until ``with``."""
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def note(self, received: signal.Signals) -> None:
        """Runs when a signal comes, as its handler."""
        self.received = received

    def restore(self) -> None:
        """Gives the signals back their handlers."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def __enter__(self) -> Self:
        # Python runs handlers in the main thread only.
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                # Ignored ones stay so, as after nohup or in a shell's background.
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.restore()

    def _handle(self, number: int, _: FrameType | None) -> None:
        self.note(signal.Signals(number))
