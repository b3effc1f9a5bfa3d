"""act, which runs workflows of GitHub Actions: it obeys what a step prints, and reads the files that it writes."""

import os
import subprocess
import sys
from pathlib import Path

from limits import scaled
from sample_project import require_programs


def run_workflow(folder: Path, *steps: str) -> str:
    """Return what act shows of a job with these steps, each in YAML."""
    program = Path(sys.executable).parent / "act"
    workflows = folder / ".github" / "workflows"
    workflows.mkdir(parents=True)
    lines = "\n".join(f"      - {step}" for step in steps)
    (workflows / "look.yml").write_text(f"on: push\njobs:\n  look:\n    runs-on: ubuntu-latest\n    steps:\n{lines}\n")
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    options = ["-P", "ubuntu-latest=-self-hosted", "--bind", "--action-offline-mode"]
    require_programs(str(program))
    done = subprocess.run(
        [program, "push", *options],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder / "home")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=scaled(60),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
