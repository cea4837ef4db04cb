"""kubectl's habits: -n, -A, -o, --context and --kubeconfig, before the command or after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


class Output(StrEnum):
    """What -o takes."""

    TABLE = ""
    JSON = "json"
    YAML = "yaml"
    WIDE = "wide"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Chosen:
    """The common options of one call. An empty namespace means the one of the kubeconfig's context."""

    namespace: str = ""
    everywhere: bool = False
    output: Output = Output.TABLE
    context: str = ""
    kubeconfig: str = ""


def common(*outputs: Output) -> Callable[[F], F]:
    """Add the options to a command, which gets them as `chosen`; `outputs` are what its -o takes."""
    formats = [each.value for each in outputs if each.value]
    options = [
        click.option("-n", "--namespace", metavar="NAME", help="Namespace.  [default: that of the context]"),
        click.option("-A", "--all-namespaces", is_flag=True, help="All namespaces."),
        click.option("--context", metavar="NAME", help="Context of the kubeconfig."),
        click.option("--kubeconfig", metavar="FILE", help="Kubeconfig.  [default: KUBECONFIG, the local stack's]"),
    ]
    if formats:
        options.append(click.option("-o", "--output", type=click.Choice(formats), help="How to print."))

    def decorate(command: F) -> F:
        def wrapped(*arguments: Any, **given: Any) -> Any:
            before = click.get_current_context().find_object(Chosen) or Chosen()
            return command(*arguments, chosen=_merged(before, given), **given)

        wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
        # click collects the parameters of arguments that were declared below this decorator here.
        wrapped.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
        for option in reversed(options):
            wrapped = option(wrapped)
        return wrapped  # type: ignore[return-value]

    return decorate


def _merged(before: Chosen, given: dict[str, Any]) -> Chosen:
    """Take the common options out of what a command was given, over those that stood before it."""
    output = given.pop("output", None)
    here = {
        "namespace": given.pop("namespace"),
        "everywhere": given.pop("all_namespaces"),
        "context": given.pop("context"),
        "kubeconfig": given.pop("kubeconfig"),
        "output": Output(output) if output else None,
    }
    return replace(before, **{name: value for name, value in here.items() if value})
