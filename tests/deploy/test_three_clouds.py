"""One release across three clouds: whatever goes wrong in whichever chapter, all services are new, or all as they were."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.utils import formatdate

import pytest

from abreast.testing.platforms.fault_injection import FaultKind, InjectedFault
from multi_cloud import DOCKERFILE, MultiCloudProject, multi_cloud_project
from sample_project import APP_SOURCE, SampleProject, eventually, wait_for_exit

NETLIFY, RENDER, HUB = "netlify", "render", "huggingface"


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MultiCloudProject]:
    """Three clouds for all tests of this process: each goes on from what the one before it left."""
    project = SampleProject(tmp_path_factory.mktemp("clouds") / "project")
    for service in project.config["services"].values():
        service["health"] = {"path": "/", "hold": "0s", "start": "3s"}
        service["build"] = {**(service["build"] if isinstance(service.get("build"), dict) else {}), "timeout": "6s"}
    with multi_cloud_project(project, tmp_path_factory.mktemp("running")) as made:
        yield made
    project.down()


@pytest.fixture
def good(world: MultiCloudProject) -> str:
    """The commit that all services are on before the test."""
    world.clear_faults()
    if (world.project.folder / "app.py").read_text() != APP_SOURCE:
        world.project.commit(app_py=APP_SOURCE)
    if len(set(world.served_commits.values())) != 1 or "Not Found" in world.served_commits.values():
        world.project.commit(app_py=APP_SOURCE)
        world.deploy()
    (commit,) = set(world.served_commits.values())
    return commit


# ── what goes well ─────────────────────────────────────────────────────────────────────────────


def test_all_get_there_and_back(world: MultiCloudProject, good: str) -> None:
    new = world.project.commit()
    _, told = world.deploy()
    assert "goes live in the turn" in told
    assert "netlify: uploading 1 of 1 files" in told
    assert "render: dep-" in told
    assert "huggingface: RUNNING_BUILDING" in told
    assert world.served_commits == world.all_at_commit(new)
    assert "nothing to do" in world.deploy()[1]
    services = world.project.status(world.variables)["services"]
    assert [service["published"]["state"] for service in services.values()] == ["recorded"] * 3
    logs = world.project.run("logs", variables=world.variables)
    assert "frontend: netlify keeps no output that abreast can read" in logs.stderr
    assert "cannot be read" not in logs.stdout
    world.project.run("rollback", "--yes", "--service", "backend", "--reason", "no", variables=world.variables)
    assert world.served_commits == {**world.all_at_commit(new), "backend": good}
    assert "which was rolled back to " in world.deploy("--service", "backend")[1]
    world.deploy("--service", "backend", "--allow-older", "--reason", "it was not the cause")
    assert world.served_commits == world.all_at_commit(new)
    world.project.run("rollback", "--yes", "--to", "v1", "--reason", "no", variables=world.variables)
    assert len(set(world.served_commits.values())) == 1
    assert world.served_commits != world.all_at_commit(new)


def test_a_status_change_reaches_the_ledger_while_it_goes_on(world: MultiCloudProject, good: str) -> None:
    world.render.stuck_state = "build_in_progress"
    before = world.project.latest_deployment()["id"]
    world.project.commit()
    deploying = world.project.start("deploy", "--yes", variables=world.variables)

    def told() -> bool:
        latest = world.project.latest_deployment()
        return latest["id"] != before and any("build_in_progress" in event["message"] for event in latest["events"])

    eventually(told)
    assert deploying.poll() is None
    world.project.run("cancel", "--reason", "no", variables=world.variables)
    assert wait_for_exit(deploying) == 1
    world.clear_faults()
    assert world.served_commits == world.all_at_commit(good)


# ── what goes wrong ────────────────────────────────────────────────────────────────────────────


@dataclass
class Case:
    """A fault at a platform, after which all are ``old``, or a ``person`` is needed; or ``new``, as if nothing was."""

    name: str
    at: str
    fault: InjectedFault | None = None
    end: str = "new"
    more: Mapping[str, object] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    told: str = ""

    @property
    def call(self) -> object:
        """What of the platform fails."""
        return self.at, (self.fault.method, self.fault.path) if self.fault else tuple(self.more)

    def hides(self, other: "Case") -> bool:
        """Return whether one of two might not be noticed in one deployment: at one call, or if both are to be told."""
        return self.call == other.call or bool(self.told and other.told)


def status(
    method: str, path: str, code: int, times: int = 1, skip: int = 0, body: str = "", **headers: str
) -> InjectedFault:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return InjectedFault(method, path, FaultKind.STATUS, times, skip, code, named, body)


def always(method: str, path: str, code: int = 503) -> InjectedFault:
    return status(method, path, code, times=10_000)


CREATE, UPLOAD, RESTORE = r"/sites/[^/]+/deploys$", r"/files/", r"/restore$"
BEGIN, ROLLBACK, ENV = r"/services/[^/]+/deploys$", r"/rollback$", r"/env-vars/"
SICK = {"app_py": "raise SystemExit('no database')"}
BRANCH, PUSH, MAIN = r"/branch/", r"/commit/worker", r"/commit/main$"

CASES = [
    # the plan
    Case("the site cannot be read once", NETLIFY, status("GET", r"/sites/shop$", 500)),
    Case("the site cannot be read", NETLIFY, always("GET", r"/sites/shop$"), "old", told="Netlify: GET /sites/shop: status 503 (3 times)"),
    Case("the key is refused", RENDER, always("GET", r"/services/srv-api$", 401), "old", told="RENDER_API_KEY"),
    Case("the Space is gone", HUB, always("GET", r"/revision/main$", 404), "old", told="Hugging Face: GET /api/spaces/owner/worker/revision/main"),
    # the stage, at Netlify
    Case("a limit in seconds", NETLIFY, status("POST", CREATE, 429, Retry_After="0")),
    Case("a limit until a date", NETLIFY, status("POST", CREATE, 429, Retry_After=formatdate(usegmt=True))),
    Case("a limit until a moment", NETLIFY, status("POST", CREATE, 429, X_RateLimit_Reset=str(int(time.time())))),
    Case("a create that fails once", NETLIFY, status("POST", CREATE, 500)),
    Case("a create whose answer is lost", NETLIFY, InjectedFault("POST", CREATE, FaultKind.RESPONSE_LOST)),
    Case("a create that is cut off", NETLIFY, InjectedFault("POST", CREATE, FaultKind.REQUEST_DROPPED)),
    Case("a create answered by a web page", NETLIFY, status("POST", CREATE, 200, body="<html>Sorry</html>")),
    Case("a create answered by nothing", NETLIFY, status("POST", CREATE, 200)),
    Case("a create that is refused", NETLIFY, status("POST", CREATE, 422, body='{"message": "too many files"}'), "old", told="too many files"),
    Case("a create that never works", NETLIFY, always("POST", CREATE), "old", told="Netlify: POST /sites/site-shop/deploys: status 503"),
    Case("an upload that fails once", NETLIFY, status("PUT", UPLOAD, 502)),
    Case("an upload that is cut off", NETLIFY, InjectedFault("PUT", UPLOAD, FaultKind.REQUEST_DROPPED)),
    Case("an upload whose answer is lost", NETLIFY, InjectedFault("PUT", UPLOAD, FaultKind.RESPONSE_LOST)),
    Case("an upload that is slow", NETLIFY, InjectedFault("PUT", UPLOAD, FaultKind.SLOW, delay=1)),
    Case("an upload that never works", NETLIFY, always("PUT", UPLOAD, 500), "old", told="/files/index.html: status 500 (3 times)"),
    Case("a draft that ends in an error", NETLIFY, None, "old", {"build_error": "the site is too large"}, told="the site is too large"),
    Case("a draft that never gets ready", NETLIFY, None, "old", {"stuck_state": "processing"}, told="still processing after 6 s"),
    # the stage, in a Space
    Case("a branch that is made but not said so", HUB, InjectedFault("POST", BRANCH, FaultKind.RESPONSE_LOST)),
    Case("a branch that fails once", HUB, status("POST", BRANCH, 500)),
    Case("a push whose answer is lost", HUB, InjectedFault("POST", PUSH, FaultKind.RESPONSE_LOST)),
    Case("a push that is cut off", HUB, InjectedFault("POST", PUSH, FaultKind.REQUEST_DROPPED)),
    Case("a limit in the draft's form", HUB, status("POST", r"/preupload/", 429, RateLimit='"api";r=0;t=0')),
    Case("a tree answered by a web page", HUB, status("GET", r"/tree/", 200, body="<html>Sorry</html>")),
    Case("a push that is refused", HUB, status("POST", PUSH, 400, body='{"error": "bad file"}'), "old", told="bad file"),
    Case("a token that may only read", HUB, always("POST", BRANCH, 403), "old", told="may not do this"),
    # the check of the draft
    Case("a draft that answers with an error", NETLIFY, always("GET", r"^/d/", 500), "old", told="status 500"),
    Case("a draft that answers late", NETLIFY, status("GET", r"^/d/", 404, times=2)),
    # the turn, on Render
    Case("a variable that fails once", RENDER, status("PUT", ENV, 500)),
    Case("a deploy whose answer is lost", RENDER, InjectedFault("POST", BEGIN, FaultKind.RESPONSE_LOST)),
    Case("a deploy that is cut off", RENDER, InjectedFault("POST", BEGIN, FaultKind.REQUEST_DROPPED)),
    Case("a deploy that fails once", RENDER, status("POST", BEGIN, 500)),
    Case("a limit in seconds from now", RENDER, status("POST", BEGIN, 429, Ratelimit_Reset="0")),
    Case("a deploy that is queued", RENDER, None, "new", {"queues_deploys": True}),
    Case("a look that fails once", RENDER, status("GET", r"/deploys/dep-", 502)),
    Case("a deploy that cannot begin", RENDER, always("POST", BEGIN), "old", told="Render: POST"),
    Case("a build that fails", RENDER, None, "old", {"build_error": "no such package: leftpad"}, told="leftpad"),
    Case("a deploy that hangs", RENDER, None, "old", {"stuck_state": "build_in_progress"}, told="still build_in_progress after 6 s"),
    Case("a provider that is away for seconds", RENDER, status("GET", r"/deploys/dep-", 502, times=4), told="status 502 (3 times); asking again for up to 6 s"),
    # the turn, in a Space
    Case("a merge whose answer is lost", HUB, InjectedFault("POST", MAIN, FaultKind.RESPONSE_LOST)),
    Case("a merge that is cut off", HUB, InjectedFault("POST", MAIN, FaultKind.REQUEST_DROPPED)),
    Case("somebody else was faster", HUB, status("POST", MAIN, 412), "old", told="status 412"),
    Case("a look at the Space that fails once", HUB, status("GET", r"/runtime$", 500)),
    Case("a hub that is away for seconds", HUB, status("GET", r"/runtime$", 500, times=4, skip=6), told="status 500 (3 times); asking again for up to 6 s"),
    Case("a log that cannot be read", HUB, always("GET", r"/logs/", 500)),
    Case("a Space that cannot build", HUB, None, "old", files={"Dockerfile": "FROM x\nRUN echo leftpad; exit 1\n"}, told="leftpad"),
    Case("a Space that hangs", HUB, None, "person", {"stuck_state": "RUNNING_BUILDING"}, told="still RUNNING_BUILDING"),
    # the turn, at Netlify
    Case("a publish whose answer is lost", NETLIFY, InjectedFault("POST", RESTORE, FaultKind.RESPONSE_LOST)),
    Case("a publish that is cut off", NETLIFY, InjectedFault("POST", RESTORE, FaultKind.REQUEST_DROPPED)),
    Case("a publish that is refused", NETLIFY, status("POST", RESTORE, 422), "old", told="status 422"),
    Case("a publish that fails once", NETLIFY, status("POST", RESTORE, 503)),
    # with users
    Case("a site that fails with users", NETLIFY, always("GET", r"^/s/shop/", 500), "old", told="status 500"),
    # the way back
    Case("a way back that fails once, from a version that is never healthy", RENDER, status("POST", ROLLBACK, 500), "old", files=SICK, told="no database"),
    Case("a way back that is cut off", HUB, InjectedFault("POST", MAIN, FaultKind.REQUEST_DROPPED, skip=1), "old", files=SICK),
    Case("a Space that cannot be given its old tree", HUB, status("POST", MAIN, 503, times=99, skip=1), "person", files=SICK),
    # afterwards
    Case("a branch that cannot be taken away", HUB, always("DELETE", BRANCH, 500)),
]  # fmt: skip


def rounds(cases: Sequence[Case]) -> list[list[Case]]:
    """Return the cases in as few deployments as can be, so that none hides another."""
    made: list[list[Case]] = []
    for case in cases:
        free = (one for one in made if not any(map(case.hides, one)))
        if one := next(free, None):
            one.append(case)
        else:
            made.append([case])
    return made


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "cases",
    [
        pytest.param(cases, id=f"round {number}")
        for number, cases in enumerate(rounds([case for case in CASES if case.end == "new"]), 1)
    ],
)
def test_faults_that_pass_hold_nothing_up(world: MultiCloudProject, good: str, cases: list[Case]) -> None:
    """One release meets faults in every chapter and at every cloud; nothing of it is made twice."""
    new = world.project.commit(", ".join(case.name for case in cases), app_py=APP_SOURCE, Dockerfile=DOCKERFILE)
    faults = inject(world, cases)
    code, told = world.deploy(code=None)
    assert code == 0, told
    assert [case.name for case in cases if case.told not in told] == [], told
    assert [name for name, fault in faults.items() if fault.began_at is None] == [], "they were not met"
    world.clear_faults()
    assert world.served_commits == world.all_at_commit(new)
    _once(world, new)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES if case.end != "new"])
def test_all_are_as_they_were(world: MultiCloudProject, good: str, case: Case) -> None:
    world.project.commit(case.name, **{"app_py": APP_SOURCE, "Dockerfile": DOCKERFILE, **case.files})
    inject(world, [case])
    code, told = world.deploy(code=None)
    assert (code, case.told in told) == ({"old": 1, "person": 4}[case.end], True), told
    world.clear_faults()
    if case.end == "person":
        assert "abreast resume" in told
        world.project.run("resume", code=1, variables=world.variables)
    assert world.served_commits == world.all_at_commit(good)


def inject(world: MultiCloudProject, cases: Sequence[Case]) -> dict[str, InjectedFault]:
    """Have the platforms fail as the cases say; return their faults by name."""
    faults = {}
    for case in cases:
        emulator = getattr(world, case.at)
        for name, value in case.more.items():
            setattr(emulator, name, value)
        if case.fault:
            faults[case.name] = replace(case.fault)
            emulator.faults.planned.append(faults[case.name])
    return faults


def test_providers_that_are_away_while_users_are_watched_turn_nothing_back(world: MultiCloudProject, good: str) -> None:
    settings = world.project.config["environments"]["local"]
    before, settings["settle"] = settings["settle"], "5s"
    new = world.project.commit("Watched")
    deploying = world.project.start("deploy", "--yes", variables=world.variables)
    eventually(lambda: world.project.latest_deployment()["chapter"] == "watch", 60)
    for emulator in (world.netlify, world.render, world.huggingface):
        emulator.faults.planned = [always("GET", r"^(?!/[srhd]/)")]
    assert world.served_commits == world.all_at_commit(new) != world.all_at_commit(good)
    eventually(lambda: "its health is checked all the same" in deploying.output)
    world.clear_faults()
    assert wait_for_exit(deploying) == 0
    assert world.served_commits == world.all_at_commit(new)
    settings["settle"] = before


def _once(world: MultiCloudProject, commit: str) -> None:
    """Nothing was made twice."""
    version = world.project.latest_deployment()["id"]
    assert [deploy.title for deploy in world.netlify.deploys.values()].count(f"frontend-{version}") == 1
    assert [deploy.commit for deploy in world.render.services["srv-api"].deploys].count(commit) == 1
    main = world.huggingface.spaces["owner/worker"].branches["main"]
    assert [world.huggingface.repository.commits[id_].title for id_ in main].count(f"worker-{version}") == 1
