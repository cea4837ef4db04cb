"""Tables and ages the way kubectl prints them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from cli.plain import one_line

ROWS_OF_A_PART = 500
_GAP = "   "


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Align columns by their widest cell, three spaces apart; the last column is not padded with more than it needs."""
    lines = [tuple(headers), *(_plain(row) for row in rows)]
    return _aligned(lines, _widths(lines, [0] * len(headers)))


def table_in_parts(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the same table in parts, none without a row; a later part may need wider columns than those before it."""
    widths = [0] * len(headers)
    lines = [tuple(headers)]
    empty = True
    for row in rows:
        lines.append(_plain(row))
        empty = False
        if len(lines) > ROWS_OF_A_PART:
            widths = _widths(lines, widths)
            yield _aligned(lines, widths)
            lines = []
    if lines and not empty:
        yield _aligned(lines, _widths(lines, widths))


def _plain(row: Sequence[str]) -> tuple[str, ...]:
    return tuple(one_line(cell) for cell in row)


def _widths(lines: Sequence[Sequence[str]], least: Sequence[int]) -> list[int]:
    return [max(low, *(len(line[column]) for line in lines)) for column, low in enumerate(least)]


def _aligned(lines: Iterable[Sequence[str]], widths: Sequence[int]) -> str:
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
