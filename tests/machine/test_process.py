"""What listens on this machine, as the kernel tells it in two ways."""

import socket

from abreast.machine.process import _proc_net_tcp, _sock_diag, listening_sockets


def test_what_listens_is_told_with_its_port() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as four,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as six,
        socket.create_connection(four.getsockname()) as client,
    ):
        ports = [one.getsockname()[1] for one in (four, six)]
        told = [one for family in (socket.AF_INET, socket.AF_INET6) for one in _sock_diag(family)]
        ours = sorted((one for one in told if one[0] in ports), key=lambda one: ports.index(one[0]))
        assert [port for port, _ in ours] == ports
        assert sorted(one for one in _proc_net_tcp() if one[0] in ports) == sorted(ours)
        assert [listening_sockets()[port] for port in ports] == [{inode} for _, inode in ours]
        assert client.getsockname()[1] not in listening_sockets()
    assert not set(ports) & set(listening_sockets())
