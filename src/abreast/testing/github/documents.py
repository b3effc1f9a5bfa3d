"""The emulator's state as GitHub's JSON."""

from typing import Any

from abreast.testing.github.calls import Call
from abreast.testing.github.model import (
    CheckRun,
    Comment,
    Deployment,
    DeploymentRecord,
    Environment,
    Hook,
    PullRequest,
    Repository,
    Review,
    Status,
    WorkflowRun,
)  # fmt: skip

Document = dict[str, Any]

_REPOSITORY_URLS = (
    "archive", "assignees", "blobs", "branches", "collaborators", "comments", "commits", "compare", "contents",
    "contributors", "deployments", "downloads", "events", "forks", "git_commits", "git_refs", "git_tags", "hooks",
    "issue_comment", "issue_events", "issues", "keys", "labels", "languages", "merges", "milestones", "notifications",
    "pulls", "releases", "stargazers", "statuses", "subscribers", "subscription", "tags", "teams", "trees",
)  # fmt: skip
_USER_URLS = (
    "events", "followers", "following", "gists", "organizations", "received_events", "repos", "starred",
    "subscriptions",
)  # fmt: skip
_FEATURES = ("issues", "projects", "wiki", "pages", "discussions", "downloads")
_LONG_AGO = "2011-01-26T19:01:12Z"
GITHUB_ACTIONS_APP = 15368


def user(call: Call, login: str, id: int = 1) -> Document:
    """Return a user or an App's bot."""
    url = f"{call.api}/users/{login}"
    return {
        "login": login, "id": id, "node_id": f"U_{id}", "avatar_url": f"{call.html}/{login}.png", "gravatar_id": "",
        "url": url, "html_url": f"{call.html}/{login}", "type": "Bot" if login.endswith("[bot]") else "User",
        "site_admin": False, **{f"{name}_url": f"{url}/{name}" for name in _USER_URLS},
    }  # fmt: skip


def public_user(call: Call, login: str, id: int) -> Document:
    """Return what everybody may know of a user."""
    unknown = dict.fromkeys(("name", "company", "blog", "location", "email", "hireable", "bio"))
    counts = dict.fromkeys(("public_repos", "public_gists", "followers", "following"), 0)
    times = {"created_at": _LONG_AGO, "updated_at": _LONG_AGO, "user_view_type": "public"}
    return {**user(call, login, id), **unknown, **counts, **times}


def repository(call: Call, repo: Repository) -> Document:
    """Return a repository."""
    url, html = f"{call.api}/repos/{repo.full_name}", f"{call.html}/{repo.full_name}"
    counts = (
        "forks", "forks_count", "open_issues", "open_issues_count", "size", "stargazers_count", "watchers",
        "watchers_count", "network_count", "subscribers_count",
    )  # fmt: skip
    return {
        "id": repo.id, "node_id": f"R_{repo.id}", "name": repo.name, "full_name": repo.full_name,
        "owner": {**user(call, repo.owner), "type": repo.owner_type}, "private": repo.is_private, "html_url": html,
        "description": None, "fork": False, "url": url, "default_branch": repo.default_branch,
        "visibility": "private" if repo.is_private else "public", "clone_url": f"{html}.git", "git_url": f"{html}.git",
        "ssh_url": f"git@localhost:{repo.full_name}.git", "svn_url": html, "mirror_url": None, "homepage": None,
        "language": None, "license": None, "archived": False, "disabled": False,
        "created_at": _LONG_AGO, "updated_at": _LONG_AGO, "pushed_at": _LONG_AGO,
        **{f"{name}_url": f"{url}/{name}" for name in _REPOSITORY_URLS},
        **{f"has_{name}": name == "issues" for name in _FEATURES},
        **dict.fromkeys(counts, 0),
    }  # fmt: skip


def workflow_run(call: Call, run: WorkflowRun) -> Document:
    """Return an attempt at a run of a workflow. The first attempt was started by the same."""
    repo, html = f"{call.api}/repos/{call.repository.full_name}", f"{call.html}/{call.repository.full_name}"
    url, who, changed = f"{repo}/actions/runs/{run.id}", user(call, *run.actor), run.ended_at or run.started_at
    urls = ("jobs", "logs", "check_suite", "cancel", "rerun", "artifacts", "workflow")
    return {
        "id": run.id, "node_id": f"WFR_{run.id}", "name": "Deploy", "path": ".github/workflows/deploy.yml",
        "display_title": "Deploy", "run_number": 1, "run_attempt": run.attempt, "event": "push", "workflow_id": 1,
        "head_branch": call.repository.default_branch, "head_sha": run.sha, "head_commit": None, "pull_requests": [],
        "status": "completed" if run.ended_at else "in_progress", "conclusion": "success" if run.ended_at else None,
        "url": url, "html_url": f"{html}/actions/runs/{run.id}", **{f"{name}_url": f"{url}/{name}" for name in urls},
        "actor": who, "triggering_actor": who, "created_at": run.started_at, "run_started_at": run.started_at,
        "updated_at": changed, "repository": repository(call, call.repository),
        "head_repository": repository(call, call.repository),
    }  # fmt: skip


def deployment(call: Call, made: Deployment) -> Document:
    """Return a deployment."""
    repo = f"{call.api}/repos/{call.repository.full_name}"
    url = f"{repo}/deployments/{made.id}"
    return {
        "url": url, "id": made.id, "node_id": f"DE_{made.id}", "sha": made.sha, "ref": made.ref, "task": made.task,
        "payload": made.payload, "original_environment": made.environment, "environment": made.environment,
        "description": made.description, "creator": user(call, call.token.login), "created_at": made.created_at,
        "updated_at": made.statuses[-1].created_at if made.statuses else made.created_at,
        "statuses_url": f"{url}/statuses", "repository_url": repo, "transient_environment": made.is_transient,
        "production_environment": made.is_production,
    }  # fmt: skip


def deployment_status(call: Call, made: Deployment, status: Status) -> Document:
    """Return a status of a deployment."""
    repo = f"{call.api}/repos/{call.repository.full_name}"
    url = f"{repo}/deployments/{made.id}"
    return {
        "url": f"{url}/statuses/{status.id}", "id": status.id, "node_id": f"DES_{status.id}", "state": status.state,
        "creator": user(call, call.token.login), "description": status.description, "environment": status.environment,
        "target_url": status.log_url, "log_url": status.log_url, "environment_url": status.environment_url,
        "created_at": status.created_at, "updated_at": status.created_at, "deployment_url": url, "repository_url": repo,
    }  # fmt: skip


def deployment_record(call: Call, record: DeploymentRecord) -> Document:
    """Return where an artifact runs, with the statement about it if there is one."""
    keys = ("digest", "logical_environment", "physical_environment", "cluster", "deployment_name", "tags")
    attested = [each.id for each in call.repository.attestations if record.fields["digest"] in each.digests]
    return {
        "id": record.id, **{key: record.fields[key] for key in keys}, "runtime_risks": [],
        "created_at": record.created_at, "updated_at": record.updated_at,
        "attestation_id": attested[-1] if attested else None,
    }  # fmt: skip


def check_run(call: Call, run: CheckRun) -> Document:
    """Return a check run."""
    url = f"{call.api}/repos/{call.repository.full_name}/check-runs/{run.id}"
    output = run.fields.get("output") or {}
    keys = ("name", "head_sha", "status", "external_id", "details_url", "conclusion", "started_at", "completed_at")
    return {
        "id": run.id, "node_id": f"CR_{run.id}", "url": url,
        "html_url": f"{call.html}/{call.repository.full_name}/runs/{run.id}",
        **{key: run.fields.get(key) for key in keys},
        "output": {
            **{key: output.get(key) for key in ("title", "summary", "text")},
            "annotations_count": len(run.annotations), "annotations_url": f"{url}/annotations",
        },
        "check_suite": {"id": 1}, "app": _actions_app(call), "pull_requests": [],
    }  # fmt: skip


def _actions_app(call: Call) -> Document:
    return {
        "id": GITHUB_ACTIONS_APP, "slug": "github-actions", "node_id": "A_1", "owner": user(call, "github"),
        "name": "GitHub Actions", "description": "", "external_url": "https://help.github.com",
        "html_url": f"{call.html}/apps/github-actions", "created_at": _LONG_AGO, "updated_at": _LONG_AGO,
        "permissions": {}, "events": [],
    }  # fmt: skip


def comment(call: Call, made: Comment) -> Document:
    """Return a comment."""
    repo = f"{call.api}/repos/{call.repository.full_name}"
    page = f"{call.html}/{call.repository.full_name}/pull/{made.number}"
    return {
        "url": f"{repo}/issues/comments/{made.id}", "html_url": f"{page}#issuecomment-{made.id}",
        "issue_url": f"{repo}/issues/{made.number}", "id": made.id, "node_id": f"IC_{made.id}",
        "user": user(call, made.login), "created_at": made.created_at, "updated_at": made.updated_at,
        "author_association": "NONE", "body": made.body, "performed_via_github_app": None,
    }  # fmt: skip


def pull_request(call: Call, pull: PullRequest) -> Document:
    """Return a pull request as a list has it."""
    repo = f"{call.api}/repos/{call.repository.full_name}"
    url, page = f"{repo}/pulls/{pull.number}", f"{call.html}/{call.repository.full_name}/pull/{pull.number}"
    issue = f"{repo}/issues/{pull.number}"
    links = {
        "self": url, "html": page, "issue": issue, "comments": f"{issue}/comments", "commits": f"{url}/commits",
        "review_comments": f"{url}/comments", "review_comment": f"{repo}/pulls/comments",
        "statuses": f"{repo}/statuses",
    }  # fmt: skip
    owner = call.repository.owner
    end = {"repo": repository(call, call.repository), "user": user(call, owner)}
    return {
        "url": url, "id": pull.number, "node_id": f"PR_{pull.number}", "html_url": page, "diff_url": f"{page}.diff",
        "patch_url": f"{page}.patch", "issue_url": issue, "commits_url": links["commits"],
        "review_comments_url": links["review_comments"], "review_comment_url": links["review_comment"],
        "comments_url": links["comments"], "statuses_url": links["statuses"], "number": pull.number,
        "state": pull.state, "locked": False, "title": f"Pull request {pull.number}", "user": user(call, owner),
        "body": None, "labels": [], "milestone": None, "created_at": _LONG_AGO, "updated_at": _LONG_AGO,
        "closed_at": None, "merged_at": None, "merge_commit_sha": None, "assignee": None,
        "head": {"label": f"{owner}:topic", "ref": "topic", "sha": pull.commits[-1], **end},
        "base": {"label": f"{owner}:main", "ref": call.repository.default_branch, "sha": pull.commits[0], **end},
        "_links": {name: {"href": href} for name, href in links.items()}, "author_association": "NONE",
        "auto_merge": None,
    }  # fmt: skip


def environment(call: Call, made: Environment) -> Document:
    """Return an environment with its rules."""
    rules: list[Document] = []
    if made.wait_timer:
        rules.append({"id": 1, "node_id": "GA_1", "type": "wait_timer", "wait_timer": made.wait_timer})
    if made.reviewers:
        reviewers = [_reviewer(call, each) for each in made.reviewers]
        rules.append(
            {"id": 2, "node_id": "GA_2", "type": "required_reviewers", "reviewers": reviewers,
             "prevent_self_review": made.prevent_self_review}
        )  # fmt: skip
    if made.branch_policy:
        rules.append({"id": 3, "node_id": "GA_3", "type": "branch_policy"})
    return {
        "id": made.id, "node_id": f"EN_{made.id}", "name": made.name,
        "url": f"{call.api}/repos/{call.repository.full_name}/environments/{made.name.replace('/', '%2F')}",
        "html_url": f"{call.html}/{call.repository.full_name}/deployments/activity_log",
        "created_at": made.created_at, "updated_at": made.created_at, "protection_rules": rules,
        "deployment_branch_policy": made.branch_policy,
    }  # fmt: skip


def environment_review(call: Call, review: Review) -> Document:
    """Return what a reviewer said of a run."""
    named = [{"id": number, "name": name} for number, name in enumerate(review.environments, 1)]
    return {
        "environments": named, "state": review.state, "user": user(call, review.login), "comment": review.comment,
    }  # fmt: skip


def _reviewer(call: Call, reviewer: Document) -> Document:
    return {"type": reviewer["type"], "reviewer": user(call, reviewer["login"], reviewer["id"])}


def hook(call: Call, made: Hook) -> Document:
    """Return a webhook; its secret is masked."""
    url = f"{call.api}/repos/{call.repository.full_name}/hooks/{made.id}"
    config = {"url": made.url, "content_type": "json", "insecure_ssl": "0"}
    return {
        "type": "Repository", "id": made.id, "name": "web", "active": made.is_active, "events": made.events,
        "config": {**config, **({"secret": "********"} if made.secret else {})}, "created_at": _LONG_AGO,
        "updated_at": _LONG_AGO, "url": url, "test_url": f"{url}/test", "ping_url": f"{url}/pings",
        "deliveries_url": f"{url}/deliveries", "last_response": {"code": None, "status": "unused", "message": None},
    }  # fmt: skip


def stamped(name: str, **more: str) -> Document:
    """Return a secret or a variable."""
    return {"name": name, **more, "created_at": _LONG_AGO, "updated_at": _LONG_AGO}
