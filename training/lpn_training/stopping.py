"""Signals that end a run after the step in flight, with everything saved."""

from __future__ import annotations

import signal

from lpn_core._signals import SignalNote


class StopRequest(SignalNote):
    """Inside ``with``, SIGTERM and Ctrl-C are only noted; a second Ctrl-C is a KeyboardInterrupt.

    A second SIGTERM is not: where a whole group of processes gets one, those of torchrun get
    another from it.
    """

    def note(self, received: signal.Signals) -> None:
        """Ends a run at once that was asked twice from the keyboard."""
        if received == self.received == signal.SIGINT:
            raise KeyboardInterrupt
        super().note(received)
