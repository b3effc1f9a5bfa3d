"""The same limits by control groups of version 2, which few test machines have beside version 1.

A kernel that runs as a program has them (Debian's package user-mode-linux). It sees this machine's files, and runs the
tests of the other module as root, and as a user to whom a folder of groups is delegated.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).with_name("test_resource_limits.py")
KERNEL = "linux.uml"
NOBODY = 65534

INIT = """#!/bin/sh
exec > {folder}/said 2>&1
export PATH={path} HOME=/mnt/home TMPDIR=/mnt/home PYTHONPATH={modules} LD_LIBRARY_PATH=/mnt/python/lib
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t cgroup2 groups /sys/fs/cgroup
mount -t tmpfs here /mnt; mkdir -m 1777 /mnt/home; mkdir /mnt/python
mount --bind {prefix} /mnt/python
ip link set lo up
cd /sys/fs/cgroup
echo "+memory +cpu" > cgroup.subtree_control
mkdir -p user/shell
echo "+memory +cpu" > user/cgroup.subtree_control
chown {user} user user/cgroup.procs user/shell user/shell/cgroup.procs
echo $$ > user/shell/cgroup.procs
cd {project}
setpriv --reuid={user} --regid={user} --clear-groups /mnt/python/bin/python3 -m pytest -q -rs -n 0 \\
  -p no:cacheprovider --basetemp=/mnt/home/t {tests}
find /sys/fs/cgroup -name 'abreast-*'
echo o > /proc/sysrq-trigger
"""


@pytest.mark.exhaustive
@pytest.mark.parametrize("user", [0, NOBODY], ids=["root", "a user with a delegated folder"])
def test_version_2_does_the_same(tmp_path: Path, user: int) -> None:
    kernel = shutil.which(KERNEL)
    if kernel is None or os.geteuid() != 0:
        pytest.skip(f"not on this machine: {KERNEL}, or root, whom it lets mount file systems")
    script = INIT.format(
        folder=tmp_path, path=os.environ["PATH"], modules=":".join(filter(None, sys.path)), prefix=sys.base_prefix,
        user=user, project=TESTS.parents[3], tests=TESTS,
    )  # fmt: skip
    (tmp_path / "init").write_text(script)
    (tmp_path / "init").chmod(0o755)
    arguments = ["mem=700M", "rootfstype=hostfs", "rootflags=/", "rw", f"init={tmp_path / 'init'}", "con=null"]
    subprocess.run([kernel, *arguments], check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=580)
    said = (tmp_path / "said").read_text()
    assert " passed in " in said, said
    assert "skipped" not in said, said
    assert "failed" not in said, said
    assert "/sys/fs/cgroup" not in said, "no group is left"
