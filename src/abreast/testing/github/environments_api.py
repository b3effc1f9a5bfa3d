"""The API of environments with their rules, of secrets and of variables."""

import base64
import re

from starlette.responses import Response

from abreast.testing.github import bodies, documents
from abreast.testing.github.calls import REPOSITORY, ApiError, Call, Operation, answer, invalid, no_content
from abreast.testing.github.model import Environment, GitHubState, now

ENVIRONMENT = f"{REPOSITORY}/environments/{{environment}}"
ACTIONS = f"{REPOSITORY}/actions"
PUBLIC_KEY = {"key_id": "1", "key": base64.b64encode(bytes(range(1, 33))).decode()}


class EnvironmentsApi:
    """Serves environments, and the names of secrets: their values nobody can read again."""

    def __init__(self, state: GitHubState) -> None:
        self._state = state

    def operations(self) -> list[Operation]:
        """Return the operations."""
        return [
            Operation("GET", f"{REPOSITORY}/environments", "actions=read", self._list),
            *self._values(ENVIRONMENT, "environments", "environments"),
            *self._values(ACTIONS, "secrets", "variables"),
            Operation("GET", f"{ACTIONS}/organization-secrets", "secrets=read", self._list_shared),
            Operation("GET", ENVIRONMENT, "actions=read", self._get),
            Operation("PUT", ENVIRONMENT, "administration=write", self._put),
            Operation("DELETE", ENVIRONMENT, "administration=write", self._delete),
        ]

    def _values(self, base: str, secrets: str, variables: str) -> list[Operation]:
        """Return the operations on secrets and variables under a path, with the names of their permissions."""
        return [
            Operation("GET", f"{base}/secrets", f"{secrets}=read", self._list_secrets),
            Operation("GET", f"{base}/secrets/public-key", f"{secrets}=read", self._public_key),
            Operation("PUT", f"{base}/secrets/{{name}}", f"{secrets}=write", self._put_secret),
            Operation("DELETE", f"{base}/secrets/{{name}}", f"{secrets}=write", self._delete_secret),
            Operation("GET", f"{base}/variables", f"{variables}=read", self._list_variables),
            Operation("POST", f"{base}/variables", f"{variables}=write", self._create_variable),
        ]

    async def _list(self, call: Call) -> Response:
        made = call.repository.environments.values()
        page, links = call.page(made)
        listed = [documents.environment(call, each) for each in page]
        return answer({"total_count": len(made), "environments": listed}, headers=links)

    async def _get(self, call: Call) -> Response:
        return answer(documents.environment(call, _find(call)))

    async def _put(self, call: Call) -> Response:
        body = await call.body(bodies.EnvironmentBody)
        policy = body.deployment_branch_policy
        if policy is not None and (
            set(policy) != {"protected_branches", "custom_branch_policies"} or len(set(policy.values())) != 2
        ):
            raise invalid("Environment", "deployment_branch_policy", "exactly one of both must be true")
        name = call.param("environment")
        made = call.repository.environments.setdefault(name, Environment(self._state.next_id(), name, now()))
        made.wait_timer, made.prevent_self_review = body.wait_timer or 0, bool(body.prevent_self_review)
        made.reviewers = [self._reviewer(each) for each in body.reviewers or []]
        made.branch_policy = dict(policy) if policy else None  # type: ignore[arg-type]
        return answer(documents.environment(call, made))

    def _reviewer(self, reviewer: bodies.ReviewerId) -> dict[str, object]:
        logins = {number: login for login, number in self._state.users.items()}
        if reviewer.type != "User" or reviewer.id not in logins:
            raise invalid("Environment", "reviewers", f"no {reviewer.type} has the id {reviewer.id}")
        return {"type": reviewer.type, "id": reviewer.id, "login": logins[reviewer.id]}

    async def _delete(self, call: Call) -> Response:
        del call.repository.environments[_find(call).name]
        return no_content()

    async def _list_secrets(self, call: Call) -> Response:
        return self._names(call, list(_secrets(call)))

    async def _list_shared(self, call: Call) -> Response:
        return self._names(call, sorted(call.repository.organization_secrets))

    def _names(self, call: Call, names: list[str]) -> Response:
        page, links = call.page(names)
        listed = [documents.stamped(name) for name in page]
        return answer({"total_count": len(names), "secrets": listed}, headers=links)

    async def _public_key(self, call: Call) -> Response:
        _secrets(call)
        return answer(PUBLIC_KEY)

    async def _put_secret(self, call: Call) -> Response:
        name, body, secrets = call.param("name").upper(), await call.body(bodies.EncryptedSecret), _secrets(call)
        if not re.fullmatch(r"(?!GITHUB_)[A-Z_][A-Z0-9_]*", name):
            raise ApiError(422, "Secret names can only contain alphanumeric characters or underscores")
        if body.key_id != PUBLIC_KEY["key_id"]:
            raise ApiError(422, "The key_id is not that of the public key")
        is_new = name not in secrets
        secrets[name] = body.encrypted_value
        return answer({}, 201) if is_new else no_content()

    async def _delete_secret(self, call: Call) -> Response:
        if _secrets(call).pop(call.param("name").upper(), None) is None:
            raise ApiError(404, "Not Found")
        return no_content()

    async def _list_variables(self, call: Call) -> Response:
        variables = _variables(call)
        page, links = call.page(variables.items())
        listed = [documents.stamped(name, value=value) for name, value in page]
        return answer({"total_count": len(variables), "variables": listed}, headers=links)

    async def _create_variable(self, call: Call) -> Response:
        body, variables = await call.body(bodies.Variable), _variables(call)
        if body.name.upper() in variables:
            raise ApiError(409, f"Already exists - Variable {body.name} already exists")
        variables[body.name.upper()] = body.value
        return answer({}, 201)


def _find(call: Call) -> Environment:
    name = call.param("environment")
    if name not in call.repository.environments:
        raise ApiError(404, "Not Found")
    return call.repository.environments[name]


def _secrets(call: Call) -> dict[str, str]:
    return _find(call).secrets if "environment" in call.request.path_params else call.repository.secrets


def _variables(call: Call) -> dict[str, str]:
    return _find(call).variables if "environment" in call.request.path_params else call.repository.variables
