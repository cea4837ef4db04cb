"""The entry point: `wfe COMMAND`, also as `kubectl wfe COMMAND`. Errors are one line; exit codes 0, 1, 2."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Final

import click

from cli.errors import CommandError, UsageError
from cli.options import Chosen, Output, common
from cli.plain import plain
from models.errors import ExecutorError, Misconfigured

_COMMANDS: Final = {
    "get": "cli.listing",
    "describe": "cli.describe",
    "why": "cli.describe",
    "audit": "cli.story",
    "queue": "cli.lines",
    "locks": "cli.locks",
    "status": "cli.health",
    "plan": "cli.planning",
    "cancel": "cli.asking",
    "clear": "cli.asking",
    "unlock": "cli.asking",
    "freeze": "cli.freezing",
    "unfreeze": "cli.freezing",
    "config": "cli.configuring",
    "local": "cli.local.commands",
    "demo": "cli.demo",
}


class _Commands(click.Group):
    """Imports a command when it is used: starting `wfe get` must not cost what `wfe local` needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = _COMMANDS.get(cmd_name)
        return None if module is None else getattr(import_module(module), cmd_name)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@common(*Output)
@click.pass_context
def wfe(context: click.Context, chosen: Chosen) -> None:
    """Ask about WorkflowExecutions, and run the executor on this machine."""
    context.obj = chosen


def main() -> None:
    """Run the command line and exit."""
    name = Path(sys.argv[0]).name
    # So that whoever cleans up at its end does so, as at Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        wfe(prog_name="kubectl wfe" if name == "kubectl-wfe" else "wfe", standalone_mode=False)
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        # Who read our output has gone; Python would complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
    except click.ClickException as error:
        _fail(error.format_message(), 2)
    except (UsageError, Misconfigured) as error:
        _fail(str(error), 2)
    except (CommandError, ExecutorError) as error:
        _fail(str(error), 1)


def _fail(message: str, code: int) -> None:
    click.echo(plain(f"error: {message}"), err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
