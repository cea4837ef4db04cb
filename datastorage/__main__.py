"""The `datastorage` command: serve, migrate, retain, keygen, openapi."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click
import orjson
from prometheus_client import CollectorRegistry, ProcessCollector
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from datastorage import logs, schema, service
from datastorage.admitting import callers_of, certificate_of, check_exposure
from datastorage.app import create_app
from datastorage.clock import Clock
from datastorage.configuration import load
from datastorage.database_errors import describe
from datastorage.engine import open_engine
from datastorage.keys import new_key
from datastorage.metrics import Metrics
from datastorage.openapi import document
from datastorage.outcome import What
from datastorage.retention import Retention
from datastorage.sealing import rounds_of, seals_of
from datastorage.settings import Settings
from datastorage.waiting import Unreachable, wait_for_database
from models.errors import Misconfigured

log = logging.getLogger("datastorage")
_config = click.option("--config", metavar="FILE", help="YAML file; wins over CONFIG_PATH.")


class _OneLine(click.Group):
    """Says in one line what is wrong with a command line."""

    def main(self, *arguments: Any, **extra: Any) -> NoReturn:
        """Run, and exit with the code of what came of it."""
        try:
            code = super().main(*arguments, **{**extra, "standalone_mode": False})
        except click.exceptions.NoArgsIsHelpError as error:
            sys.stdout.write(f"{error.format_message()}\n")
            code = 0
        except click.ClickException as error:
            sys.stderr.write(f"datastorage: {error.format_message()}\n")
            code = 2
        except click.Abort:
            code = 130
        sys.exit(code)


@click.group(cls=_OneLine)
def main() -> None:
    """Store audit events and find them again."""


@main.command()
@_config
@click.option("--host", help="Where to listen; default 127.0.0.1.")
@click.option("--port", help="Default 8080; 0 takes a free one.")
def serve(config: str | None, host: str | None, port: str | None) -> None:
    """Serve the HTTP API until SIGTERM."""
    options = {"DATASTORAGE_SERVER_HOST": host, "DATASTORAGE_SERVER_PORT": port}
    with _started(config, {name: value for name, value in options.items() if value is not None}) as (settings, engine):
        seals = seals_of(settings.checkpoint)
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        callers = callers_of(settings, registry)
        certificate = certificate_of(settings.server, registry)
        listener = service.bind(settings.server)
        check_exposure(settings.server, listener)
        wait_for_database(engine, settings.database.connect_deadline)
        keep = settings.retention.keep
        clock = Clock(settings.server.past_window)
        app = create_app(engine, settings.database.pool_size, registry, clock, seals, callers, keep)
        with engine.connect() as connection:
            found = schema.current(connection)
        if found != schema.head():
            fields = {"found": found, "needed": schema.head()}
            log.warning("not ready before `datastorage migrate` has run", extra={"fields": fields})
        with rounds_of(app.state.checkpoints, seals, settings.checkpoint), app.state.upkeep:
            service.run(app, listener, settings.server, certificate)


@main.command()
@_config
@click.option(
    "--down-to", metavar="REVISION", help="Go down instead, losing what later revisions hold; `base` is empty."
)
def migrate(config: str | None, down_to: str | None) -> None:
    """Bring the schema to the latest revision."""
    with _started(config, {}) as (settings, engine):
        wait_for_database(engine, settings.database.connect_deadline)
        revision = schema.downgrade(engine, down_to) if down_to else schema.upgrade(engine)
        log.info("migrated", extra={"fields": {"revision": revision}})


@main.command()
@_config
@click.option("--dry-run", is_flag=True, help="Only say what would become of each month.")
def retain(config: str | None, dry_run: bool) -> None:
    """Remove what retention.keep lets go, once and now, as the service does every hour.

    One line for each month in which events were stored. The exit code is 1 when one of them is refused, because it is
    not as it was written.
    """
    with _started(config, {}) as (settings, engine):
        keep = settings.retention.keep
        if not keep:
            raise Misconfigured(
                "retention.keep is not set: allowed is a time such as 90d or 7y; else nothing is removed"
            )
        seals = seals_of(settings.checkpoint)
        wait_for_database(engine, settings.database.connect_deadline)
        with engine.connect() as connection:
            found = schema.current(connection)
        if found != schema.head():
            raise Unreachable(f"the schema is at {found}, not {schema.head()}: `datastorage migrate` first")
        retention = Retention(engine, seals, Clock(), Metrics(CollectorRegistry()), keep)
        refused = False
        for outcome in retention.months(dry=dry_run):
            click.echo(outcome)
            refused |= outcome.what is What.REFUSED
        if refused:
            raise SystemExit(1)


@main.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def keygen(file: Path) -> None:
    """Make a key for checkpoints: FILE is the secret half, FILE.pub the one for everybody."""
    private, public = new_key()
    try:
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as secret:
            secret.write(private)
        Path(f"{file}.pub").write_bytes(public)
    except OSError as error:
        sys.stderr.write(f"datastorage: {error}\n")
        raise SystemExit(1) from None


@main.command()
def openapi() -> None:
    """Print the OpenAPI document."""
    sys.stdout.write(orjson.dumps(document(), option=orjson.OPT_INDENT_2).decode() + "\n")


@contextmanager
def _started(config: str | None, options: dict[str, str]) -> Iterator[tuple[Settings, Engine]]:
    """Read the settings and open the engine; turn what cannot work into one line and an exit code."""
    logs.configure()
    # As PID 1 of a container nothing ends the process by default.
    signal.signal(signal.SIGTERM, _leave)
    try:
        settings = load(config, os.environ, options)
        engine = open_engine(settings)
    except Misconfigured as wrong:
        _misconfigured(wrong)
    try:
        yield settings, engine
    except Misconfigured as wrong:
        _misconfigured(wrong)
    except (Unreachable, OSError) as error:
        sys.stderr.write(f"datastorage: {error}\n")
        raise SystemExit(1) from None
    except SQLAlchemyError as error:
        sys.stderr.write(f"datastorage: the database refused: {describe(error)}\n")
        raise SystemExit(1) from None
    finally:
        engine.dispose()


def _misconfigured(wrong: Misconfigured) -> NoReturn:
    sys.stderr.write(f"misconfigured: {wrong}\n")
    raise SystemExit(2) from None


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    main()
