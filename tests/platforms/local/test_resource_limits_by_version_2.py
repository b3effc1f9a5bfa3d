"""The same limits by control groups of version 2, which few test machines have beside version 1.

A kernel that runs as a program has them (Debian's package user-mode-linux). It sees this machine's files, and runs the
tests of the other module as a user to whom a folder of groups is delegated. Root may all that this user may.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
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
/mnt/python/bin/python3 -c '{by_root}'
setpriv --reuid={user} --regid={user} --clear-groups /mnt/python/bin/python3 -m pytest -q -rs -n 0 \\
  -p no:cacheprovider --basetemp=/mnt/home/t {tests}
find /sys/fs/cgroup -name 'abreast-*'
echo o > /proc/sysrq-trigger
"""


BY_ROOT = """
from abreast.core.model import Resources
from abreast.machine.control_groups import ControlGroup, find_places
limits = Resources(0.5, 64_000_000)
group = ControlGroup.named("abreast-by-root", limits, find_places())
group.make(limits)
print("root made", *group.folders, "of version", {place.version for place in find_places().values()}, group.remove())
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the kernel sees: it has a /dev of its own, and the session's folder may be in /dev/shm."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        yield Path(name)


@pytest.mark.exhaustive
def test_version_2_does_the_same_for_root_and_a_user_with_a_delegated_folder(folder: Path) -> None:
    kernel = shutil.which(KERNEL)
    if kernel is None or os.geteuid() != 0:
        pytest.skip(f"not on this machine: {KERNEL}, or root, whom it lets mount file systems")
    script = INIT.format(
        folder=folder, path=os.environ["PATH"], modules=":".join(filter(None, sys.path)), prefix=sys.base_prefix,
        user=NOBODY, project=TESTS.parents[3], tests=TESTS, by_root=BY_ROOT,
    )  # fmt: skip
    (folder / "init").write_text(script)
    (folder / "init").chmod(0o755)
    arguments = ["mem=700M", "rootfstype=hostfs", "rootflags=/", "rw", f"init={folder / 'init'}", "con=null"]
    subprocess.run([kernel, *arguments], check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=580)
    said = (folder / "said").read_text()
    assert "root made memory cpu of version {2} True" in said, said
    assert " passed in " in said, said
    assert "skipped" not in said, said
    assert "failed" not in said, said
    assert "/sys/fs/cgroup" not in said, "no group is left"
