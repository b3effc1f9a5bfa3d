"""Who signs what is built here, and verifies what was signed."""

from collections.abc import Callable, Mapping

from abreast.attestations.github_identity import GitHubRepository, parse_remote
from abreast.attestations.interface import Attestor
from abreast.attestations.sigstore import SigstoreAttestor
from abreast.ci.interface import CiRun
from abreast.core.secrets import Secret

GITHUB_SERVER = "https://github.com"


def create_attestor(variables: Mapping[str, str], run: CiRun | None, remote_url: Callable[[], str]) -> Attestor:
    """Return the attestor of a project. Its repository is the one of the variables, else that of the remote."""
    in_workflow = bool(run and run.provider == "github-actions")

    def repository() -> GitHubRepository | None:
        if name := variables.get("GITHUB_REPOSITORY"):
            return GitHubRepository(variables.get("GITHUB_SERVER_URL", GITHUB_SERVER).rstrip("/"), name)
        return parse_remote(remote_url())

    async def upload(bundle: dict[str, object]) -> None:
        from abreast.github.api import VariableSettings, connect_github  # noqa: PLC0415 (slow, and only CI signs)
        from abreast.github.client import GitHubClient  # noqa: PLC0415

        client = GitHubClient(connect_github(VariableSettings(variables)), variables.get("GITHUB_REPOSITORY", ""))
        try:
            await client.create_attestation(bundle)
        finally:
            await client.close()

    async def request_token(audience: str) -> Secret:
        from abreast.ci.id_tokens import github_actions, requests  # noqa: PLC0415 (as above)

        source = github_actions.find(variables, audience)
        assert source, "what signs is a job that may ask"
        assert source.bearer, "GitHub answers with the token"
        return await requests.request_token(source.system, source.url, source.bearer)

    return SigstoreAttestor(variables, in_workflow, repository, upload, request_token)
