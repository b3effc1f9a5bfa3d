"""Jenkins: https://www.jenkins.io/doc/book/pipeline/jenkinsfile/#using-environment-variables.

``CHANGE_…`` are of multibranch projects, ``GIT_…`` of the git plugin, ``BUILD_USER_ID`` of the plugin
https://plugins.jenkins.io/build-user-vars-plugin: Jenkins itself does not tell who started a build.
"""

import re
from collections.abc import Mapping

from abreast.ci.interface import CiRun, ReadText, git_ref, number

_PATH = re.compile(r"[:/]([^/:]+/[^/:]+?)(?:\.git)?/?$")


def detect(variables: Mapping[str, str], _: ReadText) -> CiRun | None:
    """Return the build of Jenkins that the variables describe."""
    if not variables.get("JENKINS_URL") or not variables.get("BUILD_URL"):
        return None
    get = variables.get
    branch = get("CHANGE_BRANCH") or get("GIT_BRANCH", "").removeprefix("origin/") or get("BRANCH_NAME", "")
    tag, repository = get("TAG_NAME", ""), _PATH.search(get("GIT_URL", ""))
    return CiRun(
        provider="jenkins",
        url=get("BUILD_URL", ""),
        actor=get("BUILD_USER_ID", ""),
        ref=git_ref(branch, tag),
        branch="" if tag else branch,
        commit=get("GIT_COMMIT", ""),
        pull_request=number(get("CHANGE_ID")),
        is_fork=bool(get("CHANGE_FORK")),
        repository=repository[1] if repository else "",
    )
