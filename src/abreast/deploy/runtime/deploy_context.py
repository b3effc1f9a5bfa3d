"""What a command that deploys works with."""

from collections.abc import Callable

from abreast.core.frozen_dataclass import dataclass
from abreast.core.plan import Plan
from abreast.deploy.runtime.ports import Ports
from abreast.ledger.lock import EnvironmentLock


@dataclass(frozen=True, slots=True)
class DeployContext:
    """What one command needs in one environment.

    ``new_id`` returns ids that sort by time. ``report`` prints a line. ``on_start`` is called with each
    deployment that starts or resumes here.
    """

    ports: Ports
    lock: EnvironmentLock
    new_id: Callable[[], str]
    report: Callable[[str], None]
    on_start: Callable[[Plan], None]
