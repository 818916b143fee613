"""The clock of workers and runners."""

import time


def clock() -> float:
    """Seconds that only grow, also while the process is stopped or the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
