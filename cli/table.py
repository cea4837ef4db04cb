"""Tables and ages the way kubectl prints them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cli.plain import one_line

_GAP = "   "


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Align columns by their widest cell, three spaces apart; the last column is not padded with more than it needs."""
    lines = [tuple(headers), *(tuple(one_line(cell) for cell in row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    return "\n".join(
        _GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def short_age(seconds: float) -> str:
    """Write a span as kubectl's AGE (duration.HumanDuration of k8s.io/apimachinery): 5s, 3m20s, 4h5m, 2d3h, 2y9d."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    whole = max(whole, 0)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 365 * 2:
        return f"{days}d"
    if days < 365 * 8:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(large: int, unit: str, small: int, small_unit: str) -> str:
    return f"{large}{unit}{small}{small_unit}" if small else f"{large}{unit}"
