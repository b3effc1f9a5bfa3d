"""Maintenance of services on this machine: the router answers for them."""

from collections.abc import Sequence

from abreast.platforms.interface import MaintenanceMove
from abreast.platforms.local.router.router import Router
from abreast.platforms.local.router.routing_table import RoutingTable


def needs_router(router: Router, moves: Sequence[MaintenanceMove]) -> bool:
    """Return whether the router has to be asked: ending maintenance where nothing was ever routed needs none.

    The table alone does not tell: a command that is killed can have changed what Envoy answers before its table.
    """
    return any(move.mode for move in moves) or router.table() != RoutingTable()


async def switch_maintenance(router: Router, moves: Sequence[MaintenanceMove]) -> None:
    """Change what the router answers, and wait until the services that it answers for have no request in flight."""
    modes = {move.service.name: move.mode for move in moves}
    await router.change(lambda table: table.with_maintenance(modes))
    begun, live = [move for move in moves if move.mode], router.table().live
    ids = [live[move.service.name] for move in begun if move.service.name in live]
    await router.drain(ids, max((move.drain for move in begun), default=0.0))
