"""The API of comments on pull requests, and of the pull requests of a commit."""

from starlette.responses import Response

from abreast.testing.github import bodies, documents
from abreast.testing.github.calls import REPOSITORY, ApiError, Call, Operation, answer, no_content
from abreast.testing.github.model import Comment, GitHubState, now

COMMENTS = f"{REPOSITORY}/issues/{{number}}/comments"
COMMENT = f"{REPOSITORY}/issues/comments/{{comment}}"
_READ, _WRITE = "issues=read; pull_requests=read", "issues=write; pull_requests=write"


class CommentsApi:
    """Serves comments and pull requests."""

    def __init__(self, state: GitHubState) -> None:
        self._state = state

    def operations(self) -> list[Operation]:
        """Return the operations. The path of one comment comes first: it looks like that of a number's."""
        return [
            Operation("GET", COMMENT, _READ, self._get),
            Operation("PATCH", COMMENT, _WRITE, self._update),
            Operation("DELETE", COMMENT, _WRITE, self._delete),
            Operation("GET", COMMENTS, _READ, self._list),
            Operation("POST", COMMENTS, _WRITE, self._create),
            Operation("GET", f"{REPOSITORY}/commits/{{sha}}/pulls", "pull_requests=read", self._list_pulls_of_commit),
            Operation("GET", f"{REPOSITORY}/pulls", "pull_requests=read", self._list_pulls),
        ]

    async def _list(self, call: Call) -> Response:
        number = _number(call)
        page, links = call.page(made for made in call.repository.comments if made.number == number)
        return answer([documents.comment(call, made) for made in page], headers=links)

    async def _create(self, call: Call) -> Response:
        number, body = _number(call), await call.body(bodies.CommentBody)
        moment = now()
        made = Comment(self._state.next_id(), number, call.token.login, body.body, moment, moment)
        call.repository.comments.append(made)
        return answer(documents.comment(call, made), 201)

    async def _get(self, call: Call) -> Response:
        return answer(documents.comment(call, _find(call)))

    async def _update(self, call: Call) -> Response:
        body, made = await call.body(bodies.CommentBody), _find(call)
        made.body, made.updated_at = body.body, now()
        return answer(documents.comment(call, made))

    async def _delete(self, call: Call) -> Response:
        call.repository.comments.remove(_find(call))
        return no_content()

    async def _list_pulls(self, call: Call) -> Response:
        state = call.query("state").get("state", "open")
        if state not in {"open", "closed", "all"}:
            raise ApiError(422, "Validation Failed")
        found = sorted(call.repository.pull_requests, key=lambda pull: pull.number, reverse=True)
        page, links = call.page((pull for pull in found if state in {pull.state, "all"}), "state")
        return answer([documents.pull_request(call, pull) for pull in page], headers=links)

    async def _list_pulls_of_commit(self, call: Call) -> Response:
        sha = call.repository.commit_of(call.param("sha"))
        if not sha:
            raise ApiError(422, f"No commit found for SHA: {call.param('sha')}")
        page, links = call.page(pull for pull in call.repository.pull_requests if sha in pull.commits)
        return answer([documents.pull_request(call, pull) for pull in page], headers=links)


def _number(call: Call) -> int:
    number = call.number("number")
    if number not in {pull.number for pull in call.repository.pull_requests}:
        raise ApiError(404, "Not Found")
    return number


def _find(call: Call) -> Comment:
    found = [made for made in call.repository.comments if made.id == call.number("comment")]
    if not found:
        raise ApiError(404, "Not Found")
    return found[0]
