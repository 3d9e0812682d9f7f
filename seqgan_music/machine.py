"""What the machine offers: the cores that this process may use, and whether it is one of several."""

from __future__ import annotations

import os
import sys
from typing import NoReturn


def usable_cores() -> int:
    """Return how many cores this process may use: fewer than there are where it is held to some of them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def started_together() -> bool:
    """Whether torchrun, or whoever sets its variables, has started this process as one of several."""
    return os.environ.get("WORLD_SIZE", "1") != "1" and "RANK" in os.environ


def leave(status: int) -> NoReturn:
    """End this process, whose streams have been flushed.

    One of several that train together ends without the interpreter's clearing up. Where torch's compiler has been
    imported, which its optimizers do, the threads of the exchange outlive the exchange, and one that meets an
    interpreter that is going aborts the process: one in 200, after all its work (docs/log.md).
    """
    if started_together():
        os._exit(status)
    sys.exit(status)
