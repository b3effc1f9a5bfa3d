"""One comment on a pull request, found by its hidden first line and changed in place."""

from abreast.github.client import GitHubClient
from abreast.github.resources import Comment
from abreast.provider_api.api_client import NotFoundError


async def pull_request_of(github: GitHubClient, commit: str) -> int | None:
    """Return the number of a commit's pull request, an open one first; None if it has none."""
    pulls = await github.list_pull_requests(commit)
    open_first = sorted(pulls, key=lambda pull: (pull.state == "open", pull.number), reverse=True)
    return open_first[0].number if open_first else None


async def write_sticky_comment(github: GitHubClient, number: int, body: str, known: int | None = None) -> int:
    """Write the one comment with the first line of ``body`` on a pull request, and return its id.

    ``known`` is its id, if that was recorded. Of two processes that write at once, the older comment stays.
    """
    if known is not None:
        try:
            return (await github.update_comment(known, body)).id
        except NotFoundError:
            pass  # somebody deleted it
    marker = body.splitlines()[0]
    if found := _oldest(await github.list_comments(number), marker):
        return (await github.update_comment(found.id, body)).id
    made = await github.create_comment(number, body)
    first = _oldest(await github.list_comments(number), marker) or made
    if first.id == made.id:
        return made.id
    await github.delete_comment(made.id)
    return (await github.update_comment(first.id, body)).id


def _oldest(comments: list[Comment], marker: str) -> Comment | None:
    marked = [comment for comment in comments if comment.body.startswith(marker)]
    return min(marked, key=lambda comment: comment.id, default=None)
