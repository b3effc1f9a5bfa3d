"""GitLab CI: sections of a job's log, and a report of variables for later jobs.

https://docs.gitlab.com/ci/jobs/job_logs/#custom-collapsible-sections
https://docs.gitlab.com/ci/yaml/artifacts_reports/#artifactsreportsdotenv
"""

import re
import secrets as random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from abreast.cli.ci.interface import CiOutput

DOTENV = "ABREAST_DOTENV"
"""The variable that names the file which the job declares as ``artifacts: {reports: {dotenv: …}}``."""

_NO_NAME = re.compile(r"[^A-Za-z0-9_]")


class GitLabCi(CiOutput):
    """What a job shows. ``variables`` are those of the job."""

    has_sections = True

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables

    def section(self, title: str, lines: Sequence[str]) -> Iterator[str]:
        """Yield a collapsed section."""
        name, now = f"abreast_{random.token_hex(8)}", int(time.time())
        yield f"\x1b[0Ksection_start:{now}:{name}[collapsed=true]\r\x1b[0K{title}"
        yield from lines
        yield f"\x1b[0Ksection_end:{now}:{name}\r\x1b[0K"

    def publish(self, outputs: Mapping[str, str], summary: str) -> None:  # noqa: ARG002 (GitLab has no summaries)
        """Write the outputs as variables: letters, digits and underscores in their names, one line each."""
        file = self._variables.get(DOTENV, "")
        if not file:
            return
        names = {name: f"ABREAST_{_NO_NAME.sub('_', name).upper()}" for name in outputs}
        lines = [f"{names[name]}={value}\n" for name, value in outputs.items() if "\n" not in value]
        try:
            Path(file).parent.mkdir(parents=True, exist_ok=True)
            Path(file).write_text("".join(lines), encoding="utf-8", errors="replace")
        except OSError as error:
            print(f"cannot write {DOTENV}: {error}", file=sys.stderr)
