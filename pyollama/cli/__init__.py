"""The command line: ``pyollama``, or ``python -m pyollama``."""

from __future__ import annotations

import io
import os
import sys

import click

from pyollama.cli.models import list_models, list_running, stop
from pyollama.cli.run import run
from pyollama.cli.serve import serve
from pyollama.cli.version import version_text

__all__ = ["main"]


ALIASES = {"ls": "list", "start": "serve"}


class CommandGroup(click.Group):
    """The commands in the order of their importance, some with a second name."""

    def list_commands(self, context: click.Context) -> list[str]:
        """As they were added."""
        return list(self.commands)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """By either name."""
        return super().get_command(context, ALIASES.get(name, name))


@click.group(
    cls=CommandGroup, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.option("-v", "--version", is_flag=True, help="Show version information.")
@click.option("--verbose", is_flag=True, help="With --version: backends and processor features too.")
@click.pass_context
def cli(context: click.Context, version: bool, verbose: bool) -> None:
    """Large language model runner."""
    if version:
        click.echo(version_text(verbose=verbose))
        context.exit(0)
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for command in (serve, run, stop, list_models, list_running):
    cli.add_command(command)


def main() -> None:
    """Run the command line and exit: 0, or 1 with ``Error: ...`` on the error output."""
    from pyollama.errors import Error

    if sys.stdout is None:  # closed by whoever started us
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that cannot show a character gets a question mark for it, not an end of the answer.
        sys.stdout.reconfigure(errors="replace")
    try:
        code = cli.main(prog_name="pyollama", standalone_mode=False)
    except click.Abort:
        code = 1
    except click.ClickException as error:
        code = _complain(error.format_message())
    except BrokenPipeError:
        # Whoever read our output has gone. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except (Error, OSError) as error:
        code = _complain(str(error))
    sys.exit(code if isinstance(code, int) else 0)


def _complain(message: str) -> int:
    click.echo(f"Error: {message}", err=True)
    return 1
