"""Reports of incidents as files beside the record: made again from it, never the only place of anything."""

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from abreast.cli.redaction import redact_value, register_secrets
from abreast.cli.views.incidents import incident_json, incident_markdown
from abreast.core.codec import dump, load
from abreast.core.commits import Commit
from abreast.core.errors import AbreastError
from abreast.core.frozen_dataclass import dataclass
from abreast.core.incidents.model import Incident
from abreast.core.plan import DeploymentKind, Plan
from abreast.deploy.runtime.incidents import read_incidents
from abreast.ledger.sqlite import SqliteLedger
from abreast.wiring.assembly import Assembly
from abreast.wiring.repository import project_repository
from abreast.wiring.workspace import Workspace, utc_now

MAX_LOOKED_AT = 10
"""How many incidents of an environment the end of a deployment looks at."""

MAX_COMMITS = 50


@dataclass(frozen=True, slots=True)
class IncidentReport:
    """An incident, redacted, with what the repository and the record say now. ``live``: the release of each service."""

    incident: Incident
    commits: tuple[Commit, ...]
    live: dict[str, str]
    made: str

    @property
    def markdown(self) -> str:
        """The report for people."""
        return incident_markdown(self.incident, self.commits, self.live, self.made)

    @property
    def json(self) -> str:
        """The report for programs."""
        return json.dumps(incident_json(self.incident, self.commits, self.live, self.made), indent=2)


class IncidentReports:
    """Makes the reports of the incidents of a project, and writes them."""

    def __init__(self, workspace: Workspace, ledger: SqliteLedger) -> None:
        self._assembly = Assembly(workspace)
        self._ledger = ledger
        self._folder = workspace.state / "incidents"
        self._known = set[str]()

    def make(self, incident: Incident) -> IncidentReport:
        """Return the report of an incident as it is now. What the repository here does not have is left out."""
        self._register_secrets(incident.environment)
        plan = self._ledger.stored_plan(incident.id)
        commits = project_repository(self._assembly.workspace.root).commits(*_commits_of(plan), MAX_COMMITS).certain
        live = {name: part.release for name, part in self._ledger.live_services(incident.environment).items()}
        shown = load(Incident, redact_value(dump(incident)))
        said = load(tuple[Commit, ...], redact_value(dump(commits, tuple[Commit, ...])))
        return IncidentReport(shown, said, live, utc_now())

    def write(self, environment: str | None, limit: int) -> str:
        """Write the reports of the latest incidents that are out of date. Return why not, "" if all are written."""
        try:
            for incident in read_incidents(self._ledger, environment, limit):
                if self._written(incident.id) != incident.newest:
                    report = self.make(incident)
                    _write(self._folder / f"{incident.id}.md", report.markdown)
                    _write(self._folder / f"{incident.id}.json", report.json)
        except (AbreastError, OSError, ValueError) as error:
            return str(error)
        return ""

    def _register_secrets(self, environment: str) -> None:
        """Redact the secrets of an environment, as far as abreast.yml has it still."""
        if environment not in self._known:
            self._known.add(environment)
            with suppress(AbreastError):
                configured = self._assembly.project.environment(environment, needs_values=False)
                register_secrets(self._assembly.secret_values(configured))

    def _written(self, id: str) -> object:
        """Return the number of the newest entry that a written report has, None if there is no report."""
        with suppress(OSError, ValueError):
            document = json.loads((self._folder / f"{id}.json").read_text(encoding="utf-8"))
            return document.get("newest") if isinstance(document, dict) else None
        return None


def _commits_of(plan: Plan) -> tuple[set[str], str]:
    """Return the commits that an incident is about, as those before them and the newest; a rollback takes them back."""
    live = [part.previous.commit for part in plan.rollouts if part.previous]
    if plan.kind is DeploymentKind.ROLLBACK and live:
        return {plan.commit}, live[0]
    return set(live), plan.commit


def _write(file: Path, text: str) -> None:
    """Write a file at once, for its owner alone; another process may write it at the same time."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as opened:
            opened.write(text)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
