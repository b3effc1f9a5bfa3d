"""What the kernel tells of processes and sockets. This module alone chooses the variant."""

import sys

from abreast.machine.kernel.interface import ProcessTable, SocketTable

if sys.platform == "linux":
    from abreast.machine.kernel.linux_processes import LinuxProcessTable as PlatformProcessTable
    from abreast.machine.kernel.linux_sockets import LinuxSocketTable as PlatformSocketTable
else:
    from abreast.machine.kernel.psutil_processes import PsutilProcessTable as PlatformProcessTable
    from abreast.machine.kernel.psutil_sockets import PsutilSocketTable as PlatformSocketTable

PROCESSES: ProcessTable = PlatformProcessTable()
SOCKETS: SocketTable = PlatformSocketTable()
