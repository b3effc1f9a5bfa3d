"""The comment about an environment on the commit's pull request."""

from abreast.core.previews import PreviewName
from abreast.github.client import GitHubClient
from abreast.github.sticky_comment import pull_request_of, write_sticky_comment
from abreast.notify.github.part import Part
from abreast.notify.github.wording import comment_body
from abreast.notify.interface import SentMessages, Snapshot


class CommentPart(Part):
    """Keeps the comment about an environment on the pull request of the commit, if it has one."""

    name = "comment"
    permission = "pull-requests: write"

    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    async def update(self, github: GitHubClient, snapshot: Snapshot, sent: SentMessages) -> None:
        """Write the comment, or change what it says."""
        body, deployment = comment_body(snapshot), snapshot.plan.deployment
        if self._last.get(deployment) == body:
            return
        if sent.find("pull") is None:
            preview = PreviewName.parse(snapshot.plan.environment) if snapshot.plan.base else None
            found = preview.number if preview else await pull_request_of(github, snapshot.plan.commit)
            await sent.record("pull", str(found or ""))
        if number := sent.find("pull"):
            known = sent.find(self.name)
            written = await write_sticky_comment(github, int(number), body, int(known) if known else None)
            await sent.record(self.name, str(written))
        self._last[deployment] = body
