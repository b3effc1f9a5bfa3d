"""Lazy loading: the one place that imports a command's function, and only when the command runs."""

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import click

from abreast.ci.id_tokens import ID_TOKEN_VARIABLES
from abreast.core.errors import RefusedError


def load(target: str) -> Callable[..., Any]:
    """Import and return the function that ``module:function`` names."""
    module, _, function = target.partition(":")
    loaded: Callable[..., Any] = getattr(import_module(module), function)
    return loaded


class LazyCommand(click.Command):
    """A command whose function is imported when it runs, so that ``--help`` stays fast.

    The function takes the names of ``params`` as keywords and returns the exit code. ``ahead`` names one that is
    called before the import, to begin what takes time outside this process.
    """

    def __init__(
        self, name: str, target: str, help: str, params: Sequence[click.Parameter] = (), ahead: str = ""
    ) -> None:
        super().__init__(name, help=help, params=list(params))
        self.target = target
        self.ahead = ahead

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 (click's signature)
        """Import the function and call it. That it was refused is recorded."""
        try:
            if any(name in os.environ for name in ID_TOKEN_VARIABLES):
                load("abreast.cli.run_identity:verify_run")(ctx)
            if agent := os.environ.get("ABREAST_AGENT"):
                load("abreast.cli.refusals:refuse_agent")(ctx, agent)
            if self.ahead:
                load(self.ahead)()
            self.callback = load(self.target)
            return super().invoke(ctx)
        except RefusedError as error:
            load("abreast.cli.refusals:record")(ctx, error)
            raise
