"""`handschlag`: run the platform, play its demonstration, look after it, ask the law, verify the log.

Exit codes: 0 ok, 1 finding, 2 wrong use, 3 something that is needed cannot be reached.
"""

import sys
import warnings
from importlib import import_module
from typing import Any

import click

from shared.errors import HandschlagError, Unavailable

warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")

FINDING, USAGE, UNREACHABLE = 1, 2, 3

COMMANDS = {
    "run": ("services.command.run", "run", "Start the platform, with its demonstration world and story."),
    "demo": ("services.command.demo.command", "demo", "Play the demonstration story against a running platform."),
    "service": ("services.command.run", "service", "Run one service as a process of its own."),
    "inbox": ("services.command.run", "inbox", "Run the front door over RabbitMQ as a process of its own."),
    "migrate": ("services.command.migrate", "migrate", "Make missing keys and bring the databases up to date."),
    "doctor": ("services.command.doctor", "doctor", "Is this machine ready, and what is to be done if not?"),
    "import": ("services.command.importing", "import_", "Read real input from files."),
    "law": ("services.command.law", "law", "Ask the law, check cases against it, read a rule."),
    "log": ("services.command.log_keeping", "log", "Verify the audit log without the system; write it out, check it."),
    "witness": ("services.command.witness", "witness", "Witness audit logs, on a machine of its own."),
    "export": ("services.command.export", "export", "Take a part of the audit log along, to verify it elsewhere."),
    "keys": ("services.command.custody", "keys", "Rotate the keys that wrap persons' keys; erase again."),
    "retention": ("services.command.retention", "retention", "Whose files come to their end, and when."),
    "registers": ("services.command.registers", "registers", "Registers of processing, breaches and impact (GDPR)."),
    "withdrawals": ("services.command.withdrawals", "withdrawals", "Who has not confirmed a retraction; who is late."),
    "parked": ("services.command.parked", "parked", "Messages that a service could not handle: list, retry, repair."),
    "projections": ("services.command.projections", "projections", "How read models stand; rebuild one meanwhile."),
}


class Commands(click.Group):
    """Loads a command's module when it is called: green threads have to come before everything else in some."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, name, _ = COMMANDS[cmd_name]
        found: click.Command = getattr(import_module(module), name)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])


@click.group(cls=Commands)
@click.version_option(package_name="handschlag")
def handschlag() -> None:
    """Data between agencies, only where the law or the person allows it, and provably so."""


def main(arguments: list[str] | None = None) -> Any:
    """The entry point: runs a command and turns what may be expected to go wrong into one plain line."""
    try:
        return handschlag.main(args=arguments, prog_name="handschlag", standalone_mode=True)
    except Unavailable as error:
        click.echo(f"handschlag: {error}", err=True)
        sys.exit(UNREACHABLE)
    except HandschlagError as error:
        click.echo(f"handschlag: {error}", err=True)
        for problem in error.problems:
            click.echo(f"  {problem.pointer}: {problem.detail}. {problem.remedy}".rstrip(". ") + ".", err=True)
        sys.exit(USAGE)


if __name__ == "__main__":
    main()
