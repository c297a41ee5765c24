"""Data of the interactive figures."""

from __future__ import annotations


def script() -> str:
    """The data as a script that sets one global variable."""
    return "window.courseFigures = {};\n"
