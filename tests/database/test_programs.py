"""Programs that write a dump."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from sample_project import eventually

DUMPING = """
import io, signal
from abreast.database.dump_process import run_program
signal.signal(signal.SIGINT, lambda *_: None)  # as a deployment, which ends its chapter first
into = io.BytesIO()
code, said = run_program(["/bin/sh", "-c", "touch begun; until [ -e go ]; do sleep 0.02; done; echo whole"], into=into)
print(code, into.getvalue(), said)
"""


def test_an_interrupt_at_the_terminal_does_not_cut_off_a_dump(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", DUMPING], cwd=tmp_path, stdout=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:  # fmt: skip
        eventually((tmp_path / "begun").exists)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does it
        (tmp_path / "go").touch()
        assert process.communicate(timeout=60)[0] == "0 b'whole\\n' \n"
