"""How long tests wait for what must come: longer, the busier the machine is."""

import os


def scaled(seconds: float) -> float:
    """Return a limit that does a machine justice on which more wants to run than can."""
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
