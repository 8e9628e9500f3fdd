"""Notices when the clock that ticks go by has gone ahead of the one that timers go by.

asyncio's timers stand still while a machine sleeps, and know nothing of a clock that is set: what
is due at three o'clock would come that much later.
"""

import asyncio
import logging
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 10.0
_TOLERANCE = 0.5
"""How far, in seconds, the two may part before anything is done about it."""


async def follow_clock(
    catch_up: Callable[[float], None],
    *,
    wall: Callable[[], float] = time.time,
    steady: Callable[[], float] = time.monotonic,
) -> None:
    """Look at both clocks now and then, for ever.

    A clock that is set back needs nothing: who is woken too early waits again.

    Args:
        catch_up: Told by how many seconds timers are late.
        wall: The clock that ticks go by, in seconds.
        steady: The clock that timers go by, in seconds.
    """
    apart = wall() - steady()
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        ahead = wall() - steady() - apart
        if ahead > _TOLERANCE:
            logger.info("The clock went ahead by %.1f s: what is due by now is looked at", ahead)
            catch_up(ahead)
        if not 0.0 <= ahead <= _TOLERANCE:
            apart += ahead
