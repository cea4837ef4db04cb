"""Text that others wrote, fit for a terminal: who may declare an execution must not steer the terminal of who looks.

JSON and YAML are left as they are, as kubectl leaves them. Pure.
"""

from __future__ import annotations

UNPRINTABLE = "\ufffd"


def plain(text: str) -> str:
    """Return a text with its lines, but without escape sequences and letters that change the order of others."""
    return "\n".join(_printable(line) for line in text.expandtabs().replace("\r\n", "\n").split("\n"))


def one_line(text: str) -> str:
    """Return a text as one line, so that nobody's reason looks like a line of ours."""
    return text if text.isprintable() else _printable(" ".join(text.split()))


def _printable(line: str) -> str:
    return line if line.isprintable() else "".join(each if each.isprintable() else UNPRINTABLE for each in line)
