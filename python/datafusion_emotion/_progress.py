"""The progress of a labeling job, on the standard error."""

from __future__ import annotations

import sys
import time
from shutil import get_terminal_size

from . import _native

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_NOTEBOOK_COLUMNS = 80


class Progress:
    """A bar on a terminal or in a notebook, in the form of tqdm's, and lines for what happens on the way."""

    def __init__(self, *, is_shown: bool | None) -> None:
        """Show the bar, or not; for ``None``, where there is a terminal or a notebook."""
        self._is_notebook = _is_notebook()
        self._is_shown = sys.stderr.isatty() or self._is_notebook if is_shown is None else is_shown
        self._is_quiet = is_shown is False
        self._started: float | None = None
        self._shown = ""

    def show(self, counts: _native.Counts) -> None:
        """Update the bar."""
        if not self._is_shown:
            return
        now = time.monotonic()
        if self._started is None:
            self._started = now
        line = bar(counts, now - self._started, self._columns())
        if line != self._shown:
            sys.stderr.write(f"\r{line.ljust(len(self._shown))}")
            sys.stderr.flush()
            self._shown = line

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        if self._is_quiet:
            return
        blank = f"\r{' ' * len(self._shown)}\r" if self._shown else ""
        sys.stderr.write(f"{blank}{line}\n")
        self._shown = ""

    def close(self) -> None:
        """End the line of the bar."""
        if self._shown:
            sys.stderr.write("\n")
            self._shown = ""

    def _columns(self) -> int:
        return _NOTEBOOK_COLUMNS if self._is_notebook else get_terminal_size((_NOTEBOOK_COLUMNS, 24)).columns


def bar(counts: _native.Counts, seconds: float, columns: int) -> str:
    """The bar for these counts after a time, at most this many columns wide."""
    share = min(counts.rows_labeled / counts.rows, 1.0) if counts.rows else 1.0
    rate = (counts.rows_labeled - counts.rows_before) / seconds if seconds > 0 else 0.0
    left = (counts.rows - counts.rows_labeled) / rate if rate else None
    before = f"{share:4.0%}|"
    after = (
        f"| {counts.rows_labeled}/{counts.rows} rows [{_clock(seconds)}<{_clock(left)}, {rate:.1f} rows/s,"
        f" file {max(counts.files_started, 1)} of {counts.files}]"
    )
    width = max(columns - len(before) - len(after) - 1, 0)
    return (before + _filled(share, width) + after)[: max(columns - 1, 0)]


def _filled(share: float, width: int) -> str:
    full, part = divmod(int(share * width * 8), 8)
    return (_EIGHTHS[8] * full + _EIGHTHS[part].strip()).ljust(width)


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute:02}:{second:02}"


def _is_notebook() -> bool:
    """Whether the output goes to a notebook, which knows the carriage return as a terminal does."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return type(shell).__name__ == "ZMQInteractiveShell"
