"""Waiting for a condition, the only kind of waiting these tests know.

A test never sleeps for a time that it hopes is long enough: it names the condition and a deadline.
The deadline is generous, because it costs nothing when all is well.
"""

import os
import time

# Seconds. Slow builds (sanitizers, valgrind) stretch it through the environment.
PATIENCE = float(os.environ.get("PERFKIT_TEST_PATIENCE", "1"))
DEADLINE = 20.0 * PATIENCE

FIRST_POLL_SECONDS = 0.00005
LONGEST_POLL_SECONDS = 0.02


def wait_until(condition, what, deadline=DEADLINE):
    """Call condition() until it is true, and return what it returned.

    Fails with `what` when the deadline passes; `what` may be a callable, to say more."""
    end = time.monotonic() + deadline
    pause = FIRST_POLL_SECONDS
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            text = what() if callable(what) else what
            raise AssertionError(f"waited {deadline:.0f} s in vain for: {text}")
        time.sleep(pause)
        pause = min(pause * 2, LONGEST_POLL_SECONDS)
