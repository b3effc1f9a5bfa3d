"""Whether the CI system vouches for the run that this process belongs to. It is asked once in each process."""

import asyncio
from collections.abc import Mapping

from abreast.ci.id_tokens.interface import IdTokenProvider, TokenSource
from abreast.ci.id_tokens.run_verification import PROVIDERS, RunVerification, verify_run
from abreast.ci.interface import CiRun

_ASKED: dict[TokenSource, RunVerification] = {}
"""What was found in this process."""


def verified_run(variables: Mapping[str, str], run: CiRun | None) -> RunVerification | None:
    """Return whether the run is what it claims, None if its job may have no ID token. Asks at the first call."""
    provider, source = _find_source(variables, run)
    if provider and source and source not in _ASKED:
        _ASKED[source] = asyncio.run(verify_run(provider, source, variables))
    return _ASKED[source] if source else None


def known_verification(variables: Mapping[str, str], run: CiRun | None) -> RunVerification | None:
    """Return the same, None if it was not asked in this process. Asks nobody."""
    _, source = _find_source(variables, run)
    return _ASKED.get(source) if source else None


def _find_source(variables: Mapping[str, str], run: CiRun | None) -> tuple[IdTokenProvider | None, TokenSource | None]:
    provider = PROVIDERS.get(run.provider) if run else None
    return provider, provider.find(variables) if provider else None
