"""A disk that fills up in the middle: told, nothing lost, and it goes on when there is room."""

import re
import subprocess
import sys

from sample_project import SampleProject


def test_a_deployment_that_cannot_be_recorded_stands_and_is_resumed(project: SampleProject) -> None:
    first = project.commit()
    project.deploy()
    commit = project.commit()
    size = (
        (project.folder / ".abreast" / "ledger.db-wal").stat().st_size
        if (project.folder / ".abreast" / "ledger.db-wal").exists()
        else 0
    )
    limit = max(size, (project.folder / ".abreast" / "ledger.db").stat().st_size) // 1024 + 40
    done = subprocess.run(
        ["/bin/bash", "-c", f'ulimit -f {limit}; exec "$@"', "bash", sys.executable, "-m", "abreast", "deploy", "--yes"],
        cwd=project.folder, capture_output=True, text=True, check=False, timeout=90,
    )  # fmt: skip
    assert not re.search("Traceback|TypeError|sqlalche", done.stderr + done.stdout)
    assert done.returncode == 4, done.stdout + done.stderr
    assert "abreast resume" in done.stderr
    assert project.served_commits()["backend"] in {first, commit}
    project.run("resume")
    assert project.served_commits() == {"frontend": commit, "backend": commit}
