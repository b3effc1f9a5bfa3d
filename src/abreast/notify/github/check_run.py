"""One check run for an environment on a commit."""

from dataclasses import replace

from abreast.github.client import GitHubClient
from abreast.github.resources import CheckReport
from abreast.notify.github.part import Part
from abreast.notify.github.wording import check_report
from abreast.notify.interface import SentMessages, Snapshot


class CheckRunPart(Part):
    """Keeps the check run ``abreast / ENVIRONMENT``. A later deployment of the commit goes on with the same run."""

    name = "check"
    permission = "checks: write"

    def __init__(self) -> None:
        self._last: dict[str, CheckReport] = {}

    async def update(self, github: GitHubClient, snapshot: Snapshot, sent: SentMessages) -> None:
        """Create the run, or change what it says. Annotations are sent once."""
        report, plan = check_report(snapshot), snapshot.plan
        if self._last.get(plan.deployment) == report:
            return
        if recorded := sent.find(self.name):
            await self._change(github, int(recorded), report)
        else:
            await self._find_or_create(github, snapshot, report, sent)
        self._last[plan.deployment] = report

    async def _find_or_create(
        self, github: GitHubClient, snapshot: Snapshot, report: CheckReport, sent: SentMessages
    ) -> None:
        environment, commit = snapshot.plan.environment, snapshot.plan.commit
        title, mark = f"abreast / {environment}", f"abreast:{environment}"
        found = [run for run in await github.list_check_runs(commit, title) if run.external_id == mark]
        if found:
            await sent.record(self.name, str(found[0].id))
            await self._change(github, found[0].id, report)
        else:
            made = await github.create_check_run(commit, title, mark, report)
            await sent.record(self.name, str(made.id))

    async def _change(self, github: GitHubClient, id: int, report: CheckReport) -> None:
        if report.annotations:
            there = (await github.get_check_run(id)).output.annotations_count
            report = replace(report, annotations=report.annotations[there:])
        await github.update_check_run(id, report)
