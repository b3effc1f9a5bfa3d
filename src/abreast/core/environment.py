"""The noun environment: services, and how releases of them are deployed there."""

from collections.abc import Mapping
from dataclasses import field

from abreast.core.approvals.rule import ApprovalRule
from abreast.core.freeze import FreezeWindow
from abreast.core.frozen_dataclass import dataclass
from abreast.core.gates import Gate
from abreast.core.maintenance import MaintenanceSettings
from abreast.core.model import BreakingChangePolicy, Service
from abreast.core.plan import OnFailure
from abreast.core.previews import PreviewSettings
from abreast.core.promotion import PromotionRule


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment. The new version is watched for ``settle``; the previous one may ``drain`` for so long.

    ``gates`` must pass before anything is staged; a person may skip those in ``may_skip``. ``breaking`` applies to
    migrations that would break the running version. ``rto`` and ``rpo`` are the recovery objectives. ``rotate_after``
    is the maximum age of secrets, by ``service/NAME``. With ``tag``, each deployed release is tagged in git.
    ``preview`` says how its previews are made, None if it has none. ``base`` is what this one is a preview of. With
    ``attested``, nothing else is deployed than what a workflow of the project's repository attested. ``approval`` says
    who has to agree to a deployment, ``freeze`` when none begins, ``promotion`` where releases come from, if not from
    commits. ``lock_after_failure``: a release that failed under users and was turned back locks it. ``maintenance``
    says which page users get during maintenance. ``needs_id_token``: who deploys and approves is proven by an ID token.
    """

    name: str
    services: tuple[Service, ...]
    settle: float = 10.0
    drain: float = 30.0
    on_failure: OnFailure = OnFailure.TOGETHER
    gates: tuple[Gate, ...] = ()
    may_skip: tuple[str, ...] = ()
    rotate_after: Mapping[str, float] = field(default_factory=dict)
    tag: bool = False
    breaking: BreakingChangePolicy = BreakingChangePolicy.WARN
    rto: float | None = None
    rpo: float | None = None
    preview: PreviewSettings | None = None
    base: "Environment | None" = None
    attested: bool = False
    approval: ApprovalRule | None = None
    freeze: tuple[FreezeWindow, ...] = ()
    promotion: PromotionRule | None = None
    lock_after_failure: bool = False
    maintenance: MaintenanceSettings = MaintenanceSettings()
    needs_id_token: bool = False
