"""What listens on this machine, as the kernel tells it in two ways."""

import socket

from abreast.machine.process import _proc_net_tcp, _sock_diag, listening_sockets


def test_what_listens_is_told_with_its_port() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as four,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as six,
        socket.create_connection(four.getsockname()) as client,
    ):
        ports = [each.getsockname()[1] for each in (four, six)]
        told = [entry for family in (socket.AF_INET, socket.AF_INET6) for entry in _sock_diag(family)]
        ours = sorted((entry for entry in told if entry[0] in ports), key=lambda entry: ports.index(entry[0]))
        assert [port for port, _ in ours] == ports
        assert sorted(entry for entry in _proc_net_tcp() if entry[0] in ports) == sorted(ours)
        assert [listening_sockets()[port] for port in ports] == [{inode} for _, inode in ours]
        assert client.getsockname()[1] not in listening_sockets()
    assert not set(ports) & set(listening_sockets())
