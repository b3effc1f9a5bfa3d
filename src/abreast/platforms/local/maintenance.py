"""Maintenance of services on this machine: the router answers for them."""

from collections.abc import Sequence

from abreast.platforms.interface import MaintenanceMove
from abreast.platforms.local.router.router import Router


def changes_maintenance(router: Router, moves: Sequence[MaintenanceMove]) -> bool:
    """Return whether the router has anything to change: ending what never began needs no router."""
    return any(move.mode or move.service.name in router.table().maintenance for move in moves)


async def switch_maintenance(router: Router, moves: Sequence[MaintenanceMove]) -> None:
    """Change what the router answers, and wait until the services that it answers for have no request in flight."""
    modes = {move.service.name: move.mode for move in moves}
    await router.change(lambda table: table.with_maintenance(modes))
    begun, live = [move for move in moves if move.mode], router.table().live
    ids = [live[move.service.name] for move in begun if move.service.name in live]
    await router.drain(ids, max((move.drain for move in begun), default=0.0))
