"""Which environment, which deployment: what a person means when they do not say."""

from collections.abc import Sequence

from abreast.core.errors import UsageError
from abreast.ledger.interface import Deployment, Ledger


def choose_environment(known: Sequence[str], said: str | None) -> str:
    """Return the environment that is meant: the one said, the only one, or ``local``."""
    if said is not None:
        return said
    if len(known) == 1:
        return known[0]
    if "local" in known:
        return "local"
    raise UsageError("which environment?", need=f"--env with one of: {', '.join(known)}")


def choose_deployment(ledger: Ledger, said: str | None, *, unfinished: bool = False) -> Deployment:
    """Return the deployment that is meant: the one said, or the latest (that is not over, where asked)."""
    if said is not None:
        return ledger.deployment(said)
    latest = ledger.deployments(limit=50)
    wanted = [one for one in latest if not (unfinished and one.state.final)]
    if not wanted:
        what = "no deployment is under way" if latest else "nothing was deployed yet"
        raise UsageError(what, next="abreast history" if latest else "abreast deploy")
    return wanted[0]
