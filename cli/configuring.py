"""`wfe config show`: every setting as it is in force, where it came from, and what is allowed. Secrets are masked."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict

import click
import yaml

from cli.access import settings_in_force
from cli.options import Chosen, Output, common
from cli.table import table
from models.setting_origins import Explained, explain


@click.group("config")
def config() -> None:
    """Show the settings."""


@config.command()
@click.option("--config", "file", metavar="FILE", default="", help="This file instead of the one in WFE_CONFIG.")
@click.option("--changed", is_flag=True, help="Only what is no default.")
@common(Output.JSON, Output.YAML, Output.WIDE)
def show(file: str, changed: bool, chosen: Chosen) -> None:
    """Show every setting: its value, where it came from, what is allowed.

    The settings are those this command itself works with; a wrong one is named, with exit code 2.
    """
    settings, origin = settings_in_force(chosen, file)
    rows = [row for row in explain(settings) if row.changed or not changed]
    match chosen.output:
        case Output.JSON:
            click.echo(json.dumps([asdict(row) for row in rows], indent=1))
        case Output.YAML:
            click.echo(yaml.safe_dump([asdict(row) for row in rows], sort_keys=False).rstrip("\n"))
        case _:
            if origin:
                click.echo(f"The file is {origin}.", err=True)
            click.echo(settings_table(rows, wide=chosen.output is Output.WIDE))


def settings_table(rows: Iterable[Explained], *, wide: bool) -> str:
    """Return settings as a table; `wide` adds the variable of the environment, the default and the reason."""
    headers = [
        "KEY",
        "VALUE",
        "FROM",
        *(["VARIABLE", "DEFAULT"] if wide else []),
        "ALLOWED",
        *(["WHY"] if wide else []),
    ]
    return table(
        headers,
        [
            (
                row.key,
                row.value or '""',
                row.origin,
                *([row.variable, row.default or '""'] if wide else []),
                row.allowed,
                *([row.why] if wide else []),
            )
            for row in rows
        ],
    )
