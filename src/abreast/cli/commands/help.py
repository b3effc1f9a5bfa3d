"""``abreast help``: the help of a command by its name."""

import click

from abreast.core.errors import UsageError


def show_help(commands: tuple[str, ...]) -> int:
    """Print the help of abreast, or of the command that ``commands`` name: ``db``, ``backup``."""
    context = click.get_current_context().find_root()
    for name in commands:
        group = context.command
        choices = group.list_commands(context) if isinstance(group, click.Group) else []
        if not isinstance(group, click.Group) or name not in choices:
            path = " ".join(commands)
            raise UsageError(f"there is no command {path!r}", need=f"one of: {', '.join(choices) or 'no more words'}")
        context = click.Context(group.commands[name], info_name=name, parent=context)
    print(context.get_help())
    return 0
