"""Time limits that grow with the load of the machine."""

import os


def scaled(seconds: float) -> float:
    """Return a limit, multiplied by the number of runnable processes per processor if that is more than one."""
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
