"""Who let the run of a CI system begin: GitHub's reviewers of an environment."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from abreast.ci.interface import CiRun

Reviewers = Callable[[str], Awaitable[Sequence[str]]]
"""Returns who approved that this run may deploy to an environment. Raises PlatformError if that cannot be read."""


def run_reviewers(variables: Mapping[str, str], run: CiRun | None) -> Reviewers:
    """Return who asks GitHub in a run of GitHub Actions; elsewhere nobody reviewed anything."""
    number = variables.get("GITHUB_RUN_ID", "")
    is_known = run is not None and run.provider == "github-actions" and number.isdecimal()

    async def reviewers(environment: str) -> Sequence[str]:
        if not is_known:
            return ()
        from abreast.github.api import VariableSettings, connect_github  # noqa: PLC0415 (slow, and seldom needed)
        from abreast.github.client import GitHubClient  # noqa: PLC0415

        client = GitHubClient(connect_github(VariableSettings(variables)), variables.get("GITHUB_REPOSITORY", ""))
        try:
            reviews = await client.list_reviews(int(number))
        finally:
            await client.close()
        return [
            review.user.login
            for review in reviews
            if review.state == "approved" and environment in {named.name for named in review.environments}
        ]

    return reviewers
