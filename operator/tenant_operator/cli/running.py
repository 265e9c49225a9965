"""What stands around every command: where options may stand, how errors are said, which exit code they have."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import typer
from rich.markup import escape
from typer.core import TyperGroup
from typer.exceptions import TyperException

from tenant_operator.cli.problems import Exit, ProblemError
from tenant_operator.cli.words import errors

_ANYWHERE = ("--context", "--kubeconfig")


class OffboardGroup(TyperGroup):
    """Takes `cloister offboard TENANT` for `cloister offboard guide TENANT`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; a word that is none is a tenant's name."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["guide", *args]
        return super().resolve_command(ctx, args)


def hoist(arguments: Sequence[str]) -> list[str]:
    """Move --context and --kubeconfig to the front, so that they may stand anywhere, as with kubectl."""
    front: list[str] = []
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word in _ANYWHERE:
            front += [word, *([value] if (value := next(words, None)) is not None else [])]
        elif word.partition("=")[0] in _ANYWHERE:
            front.append(word)
        else:
            rest.append(word)
    return front + rest


def run(app: Callable[..., object]) -> None:
    """Run the command line and end the process with a documented exit code."""
    try:
        code = app(args=hoist(sys.argv[1:]), standalone_mode=False)
    except ProblemError as problem:
        errors.print(f"[red]cloister:[/] {escape(problem.message)}", soft_wrap=True)
        if problem.hint:
            errors.print(f"  {escape(problem.hint)}", style="dim", soft_wrap=True)
        sys.exit(problem.code)
    except TyperException as error:
        if said := error.format_message().strip():
            errors.print(f"[red]cloister:[/] {escape(said)}", soft_wrap=True)
            errors.print("  cloister --help, or --help after any command, says what it understands.", style="dim")
        sys.exit(Exit.USAGE)
    except (typer.Abort, KeyboardInterrupt):
        errors.print("\nStopped. What was asked of the cluster before goes on.", style="dim")
        sys.exit(Exit.STOPPED)
    except BrokenPipeError:
        sys.exit(Exit.DONE)
    sys.exit(code if isinstance(code, int) else Exit.DONE)
