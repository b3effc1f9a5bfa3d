"""Which environment, which deployment: what a person means when they do not say."""

from collections.abc import Sequence

from abreast.core.errors import UsageError
from abreast.ledger.interface import Deployment, Ledger


def choose_environment(environments: Sequence[str], requested: str | None) -> str:
    """Return the environment that is meant: the one said, the only one, or ``local``."""
    if requested is not None:
        return requested
    if len(environments) == 1:
        return environments[0]
    if "local" in environments:
        return "local"
    raise UsageError("which environment?", need=f"--env with one of: {', '.join(environments)}")


def choose_deployment(ledger: Ledger, requested: str | None, *, unfinished: bool = False) -> Deployment:
    """Return the deployment that is meant: the one said, or the latest (that is not over, where asked)."""
    if requested is not None:
        return ledger.deployment(requested)
    latest = ledger.deployments(limit=50)
    candidates = [one for one in latest if not (unfinished and one.state.is_final)]
    if not candidates:
        what = "no deployment is under way" if latest else "nothing was deployed yet"
        raise UsageError(what, next="abreast history" if latest else "abreast deploy")
    return candidates[0]
