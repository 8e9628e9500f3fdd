"""Runs kopf in a thread with an event loop of its own, and gives it up as soon as it fails.

kopf lists, watches and connects anew. What a watch says of an object that is there is taken into
the store where it arrives: kopf would take a millisecond for each event. Its handlers see what was
listed, and what is gone.

When one of its watches cannot go on, kopf 1.45 ends slowly or not at all, and cancels every task
that it finds. Its loop is therefore not ours: it is stopped with whatever is left in it.
"""

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, cast

import aiohttp
import kopf
from pydantic_core import from_json

from flow_operator.shell.cluster import WATCHED, Resource
from flow_operator.shell.connection import Connection
from flow_operator.shell.handlers import Show, make_registry, make_settings
from flow_operator.shell.keys import Concern
from flow_operator.shell.liveness import Liveness
from flow_operator.shell.records import Record, record_of
from flow_operator.shell.store import Store

logger = logging.getLogger(__name__)

_THERE = (b'{"type":"ADDED"', b'{"type":"MODIFIED"')
_WATCHED = {resource.plural: resource for resource in WATCHED}

_STOP_SECONDS = 0.5
"""How long kopf's tasks may take to end."""


class WatchingStoppedError(Exception):
    """The watches ended by themselves. They can be started again."""


async def watch(
    connection: Connection,
    namespaces: Collection[str],
    store: Store,
    liveness: Liveness,
    listed: dict[str, int],
) -> None:
    """Watch until cancelled.

    Args:
        connection: Where to.
        namespaces: Which to watch; none: all.
        store: Takes what is seen; called in this loop.
        liveness: Takes the signs of life of the watches.
        listed: By path, as of which resourceVersion the store has everything.

    Raises:
        WatchingStoppedError: The watches cannot go on, for example because the CRDs were removed.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[str] = loop.create_future()

    def tell(why: str) -> None:
        with contextlib.suppress(asyncio.InvalidStateError):
            ended.set_result(why)

    seen: deque[Callable[[], object]] = deque()

    def take() -> None:
        while seen:
            seen.popleft()()

    def note(call: Callable[[], object]) -> None:
        seen.append(call)
        if len(seen) == 1:  # else `take` has been called for, and is not done
            with contextlib.suppress(RuntimeError):  # the process is ending
                loop.call_soon_threadsafe(take)

    def show(resource: Resource, event: kopf.RawEvent) -> None:
        gone = event["type"] == "DELETED"
        note(partial(store.drop if gone else store.take, *record_of(resource, event["object"])))

    def is_for_kopf(plural: str, line: bytes) -> bool:
        found = object_of(plural, line)
        if found:
            note(partial(store.renew, *found))
        return found is None

    responses = liveness.response_class(store.echoes, store.only_news, is_for_kopf, listed)
    watcher = _Watcher(connection, namespaces, show, responses)

    def work() -> None:
        try:
            why = watcher.run()
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(tell, why)

    threading.Thread(target=work, name="kopf", daemon=True).start()
    try:
        raise WatchingStoppedError(await asyncio.shield(ended))
    finally:
        watcher.stop()
        await asyncio.wait([ended], timeout=2 * _STOP_SECONDS)


def object_of(plural: str, line: bytes) -> tuple[Record, Concern] | None:
    """Return the object that a line of a watch shows; None: it says something else."""
    if not line.startswith(_THERE) or plural not in _WATCHED:
        return None
    try:
        return record_of(_WATCHED[plural], from_json(line)["object"])
    except (ValueError, KeyError, TypeError):
        return None  # kopf knows what to do about a broken watch


class _Watcher:
    """One life of kopf."""

    def __init__(
        self,
        connection: Connection,
        namespaces: Collection[str],
        show: Show,
        responses: type[aiohttp.ClientResponse],
    ) -> None:
        self._connection = connection
        self._namespaces = namespaces
        self._show = show
        self._responses = responses
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_mind_not)
        self._stopped = asyncio.Event()
        self._sessions: list[aiohttp.ClientSession] = []

    def run(self) -> str:
        """Watch, and return why that ended."""
        try:
            return self._loop.run_until_complete(self._watch())
        finally:
            self._loop.run_until_complete(self._end())
            self._loop.close()

    def stop(self) -> None:
        """Have `run` return, from any thread."""
        with contextlib.suppress(RuntimeError):  # it has returned already
            self._loop.call_soon_threadsafe(self._stopped.set)

    async def _watch(self) -> str:
        tasks = await kopf.spawn_tasks(
            registry=make_registry(self._show, self._connect),
            settings=make_settings(),
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
            standalone=True,
            # Peering is off; without this kopf would look up the user's name, which in a container
            # with an arbitrary user ID there is none of.
            identity=cast("Any", "flow-operator"),
        )
        stopped = asyncio.create_task(self._stopped.wait())
        done, _ = await asyncio.wait({*tasks, stopped}, return_when=asyncio.FIRST_COMPLETED)
        errors = [error for task in done if not task.cancelled() and (error := task.exception())]
        return str(errors[0]) or type(errors[0]).__name__ if errors else "it was told to"

    async def _end(self) -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=_STOP_SECONDS)
        for session in self._sessions:
            await session.close()

    def _connect(self) -> kopf.AiohttpSession:
        session = self._connection.session(self._responses)
        self._sessions.append(session)
        return kopf.AiohttpSession(server=self._connection.server, aiohttp_session=session)


def _mind_not(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Note what goes wrong in kopf's callbacks: it matters only when a watch ends of it."""
    logger.debug("in kopf: %s", context.get("message"))
