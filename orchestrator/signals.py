"""Ctrl-C and SIGTERM: both end a run in order, each with its own exit code."""

import signal
import threading
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM, as a batch system or `kill` sends it."""


SIGNALS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}


def listen() -> None:
    """From here on SIGTERM raises Terminated, as Ctrl-C raises KeyboardInterrupt."""
    signal.signal(signal.SIGTERM, _raise)


def exit_code(stop: KeyboardInterrupt) -> int:
    """130 for Ctrl-C, 143 for SIGTERM, as in shells."""
    return 128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)


def behind(error: BaseException | None) -> KeyboardInterrupt | None:
    """The signal during whose handling an error was raised, if any: torch.save, broken off, raises its own over it."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error


def _raise(number: int, frame: FrameType | None) -> None:
    raise SIGNALS[signal.Signals(number)]


class Deferred:
    """Delays signals: inside this context a signal raises only where `check` is called, so nothing is left half done.

    A second signal raises at once. A signal that was ignored stays ignored, as Ctrl-C is in what a script starts with
    `&`. In another thread than the main one, where Python takes no handlers, signals are not seen.
    """

    def __init__(self):
        self.number: int | None = None

    def __enter__(self) -> "Deferred":
        in_main = threading.current_thread() is threading.main_thread()
        self._before = {number: signal.getsignal(number) for number in (SIGNALS if in_main else ())}
        self.install()
        return self

    def __exit__(self, *error) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def install(self) -> None:
        """Install the handlers, also after other code has replaced them."""
        for number, before in self._before.items():
            signal.signal(number, signal.SIG_IGN if before is signal.SIG_IGN else self._note)

    def check(self) -> None:
        """Raises KeyboardInterrupt or Terminated if a signal has come."""
        if self.number is not None:
            _raise(self.number, None)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number is not None:
            _raise(number, frame)
        self.number = number


class Noted(Deferred):
    """Records signals: inside this context a signal raises at once, as usual, and `check` raises it again.

    The first exception may be lost in C code that calls Python, or in the error of a library that it broke off: an
    error that leaves this context after a signal is that signal.
    """

    def __exit__(self, kind, error, trace) -> None:
        super().__exit__()
        if isinstance(error, Exception):
            self.check()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        _raise(number, frame)
