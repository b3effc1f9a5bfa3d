"""CircleCI: https://circleci.com/docs/reference/variables/."""

from collections.abc import Mapping

from abreast.ci.interface import CiRun, ReadText, git_ref, number


def detect(variables: Mapping[str, str], _: ReadText) -> CiRun | None:
    """Return the job of CircleCI that the variables describe."""
    if variables.get("CIRCLECI") != "true":
        return None
    get = variables.get
    branch = get("CIRCLE_BRANCH", "")
    of_fork = number(get("CIRCLE_PR_NUMBER"))  # set for pull requests from forks alone
    pull_request = of_fork or number(get("CIRCLE_PULL_REQUEST", "").rpartition("/")[2])
    return CiRun(
        provider="circleci",
        url=get("CIRCLE_BUILD_URL", ""),
        actor=get("CIRCLE_USERNAME", ""),
        ref=git_ref(branch, get("CIRCLE_TAG", "")),
        branch=branch,
        commit=get("CIRCLE_SHA1", ""),
        pull_request=pull_request,
        is_fork=bool(of_fork),
        repository="/".join(filter(None, (get("CIRCLE_PROJECT_USERNAME"), get("CIRCLE_PROJECT_REPONAME")))),
    )
