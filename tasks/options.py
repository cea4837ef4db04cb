"""`--config FILE` of `celery -A tasks worker` and `beat`.

Celery imports the app, and with it our settings, before it reads the options of a command: ours is found in the words
that started the process, and is declared to Celery for its --help and so that it takes it.
"""

from __future__ import annotations

from argparse import ArgumentError, ArgumentParser
from collections.abc import Sequence
from itertools import dropwhile
from pathlib import Path

from celery import Celery
from click import Option

COMMANDS = ("worker", "beat")


def offer_config(celery: Celery) -> None:
    """Let the commands take --config."""
    for command in COMMANDS:
        told = "YAML file with settings (else WFE_CONFIG)"
        celery.user_options[command].add(Option(["--config"], metavar="FILE", expose_value=False, help=told))


def given_config(words: Sequence[str]) -> str | None:
    """Return the file that the words of a celery command name, None when they name none or start something else."""
    if "celery" not in Path(words[0]).parts[-2:]:
        return None
    _command, *options = (*dropwhile(lambda word: word not in COMMANDS, words[1:]), "")
    parser = ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--config")
    try:
        config: str | None = parser.parse_known_args(options)[0].config
    except ArgumentError:
        return None  # Celery says what is wrong
    return config
