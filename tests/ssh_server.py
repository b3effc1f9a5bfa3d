"""An SSH server of a test's own on this machine, which lets in whoever runs the tests."""

import getpass
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sample_project import eventually, free_ports, require_programs


@dataclass(frozen=True)
class SshServer:
    """A server. ``command`` is the client with the key that is let in, ``stranger`` the same with another key."""

    host: str
    port: int
    command: str
    stranger: str
    process: "subprocess.Popen[bytes]"


@contextmanager
def ssh_server(folder: Path) -> Iterator[SshServer]:
    """Serve SSH, with keys in ``folder``."""
    require_programs("ssh", "sshd", "ssh-keygen")
    port = free_ports(1)[0]
    folder.mkdir(mode=0o700)
    for name in ("host", "user", "stranger"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    config = (
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\n"
        f"StrictModes no\nUsePAM no\nPasswordAuthentication no\nPidFile none\n"
        f"SetEnv SHLVL=1\n"  # bash then leaves out the user's start-up file, which takes longer than the test
    )
    (folder / "config").write_text(config)
    Path("/run/sshd").mkdir(exist_ok=True)
    command = [str(shutil.which("sshd")), "-D", "-e", "-f", str(folder / "config")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            eventually(lambda: _is_listening(port))
            host = f"{getpass.getuser()}@127.0.0.1"
            yield SshServer(host, port, _client(port, folder / "user"), _client(port, folder / "stranger"), process)
        finally:
            process.terminate()


def _client(port: int, key: Path) -> str:
    options = "-o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
    return f"ssh -p {port} -i {key} {options}"


def _is_listening(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port)):
        return True
