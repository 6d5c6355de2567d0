"""What open pages watch, read once a second for all who watch the same, and told to them at once.

A page names what it shows (a job, a list with its filters) and how that is read. Its socket joins a room for it; all
sockets of the room see the same, since what they may see is part of what the room is for. Each second every room with
somebody in it is read once, however many are in it, and what has changed is sent to it, encoded once. A room that
nobody is in is forgotten: then nothing is read.

What is sent changes the page in the browser, and not the state on the server: a handler that builds on what is shown
reads it, or asks `Watching.latest`.
"""
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# Socket.IO is untyped.

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import reflex as rx
import structlog
from reflex.state import StateUpdate
from reflex_base.constants import RouteVar
from reflex_base.event.context import EventContext

from novapulse.core.actor import Actor
from novapulse.core.runtime import Runtime, current
from novapulse.security.handlers import NAMESPACE, PAUSED

_EVERY_S = 1.0
_SHARE = 4  # a reading that takes long is repeated no sooner than after so many times as long
_PREFIX = "watch "

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Shown:
    """What is on the page."""

    vars: dict[str, Any]  # variables of the page's state
    moves: bool  # it may change although no count of jobs does: read it every second


Read = Callable[[Actor], Awaitable[Shown]]


@dataclass(slots=True)
class _Topic:
    state: str  # full name of the state
    path: str  # of the page
    actor: Actor  # who may see what those may who watch
    read: Read
    told: dict[str, Any] = field(default_factory=dict[str, Any])
    moves: bool = True
    due: float = 0.0  # on the monotonic clock
    all_at: float = 0.0  # when all of it is told once, for who has joined; 0: nobody has


class Watching:
    """What is watched in this web process. Made by `Runtime.part`."""

    def __init__(self, _rt: Runtime) -> None:
        self._topics: dict[str, _Topic] = {}
        self._some = asyncio.Event()
        self._stirred = False
        self.server: Any = None  # the Socket.IO server, once there is one

    async def join(self, sid: str, what: str, key: str, topic: _Topic) -> None:
        """Have a socket told of this from now on, in place of what it watched as `what` before."""
        if self.server is None or not sid:
            return
        room = f"{_PREFIX}{what} {key}"
        rooms = self.server.rooms(sid, NAMESPACE)
        for other in rooms:
            if other.startswith(f"{_PREFIX}{what} ") and other != room:
                await self.server.leave_room(sid, other, NAMESPACE)
        if PAUSED in rooms or not self.server.manager.is_connected(sid, NAMESPACE):
            return  # it was stopped, or has gone while the page was read
        topic = self._topics.setdefault(room, topic)
        # It may have changed between the page's own reading and now.
        topic.all_at = time.monotonic() + _EVERY_S
        await self.server.enter_room(sid, room, NAMESPACE)
        self._some.set()

    async def leave(self, sid: str, *, what: str = "", stay_at: str = "") -> None:
        """Tell a socket nothing more: of what it watches as `what`, or (given a path) of what other pages show."""
        if self.server is None or not sid:
            return
        for room in self.server.rooms(sid, NAMESPACE):
            if not room.startswith(f"{_PREFIX}{what} " if what else _PREFIX):
                continue
            topic = self._topics.get(room)
            if not stay_at or topic is None or topic.path != stay_at:
                await self.server.leave_room(sid, room, NAMESPACE)

    def latest(self, sid: str, what: str) -> dict[str, Any]:
        """What was told last to a socket, of what it watches as `what`; {}: nothing yet."""
        rooms = [] if self.server is None or not sid else self.server.rooms(sid, NAMESPACE)
        room = next((each for each in rooms if each.startswith(f"{_PREFIX}{what} ")), "")
        return self._topics[room].told if room in self._topics else {}

    def stir(self) -> None:
        """Some count of jobs has changed."""
        self._stirred = True

    async def run(self) -> None:
        """As long as the web process lives."""
        while True:
            await self._some.wait()
            began = time.monotonic()
            await self.sweep()
            await asyncio.sleep(max(_EVERY_S / 10, _EVERY_S - (time.monotonic() - began)))

    async def sweep(self) -> None:
        """Read what is watched, and tell what has changed."""
        stirred, self._stirred = self._stirred, False
        for room, topic in list(self._topics.items()):
            if next(iter(self.server.manager.get_participants(NAMESPACE, room)), None) is None:
                del self._topics[room]
                continue
            if stirred:
                topic.moves = True  # until it has been read
            try:
                await self._look(room, topic)
            except Exception as error:  # what cannot be read now is read later, and keeps nothing else from it
                log.warning("watched_not_read", room=room[:60], error=repr(error)[:200])
        if not self._topics:
            self._some.clear()

    async def _look(self, room: str, topic: _Topic) -> None:
        began = time.monotonic()
        everything = 0 < topic.all_at <= began
        if began < topic.due or not (topic.moves or everything):
            return
        shown = await topic.read(topic.actor)
        topic.due = began + _SHARE * (time.monotonic() - began)
        topic.moves = shown.moves
        before = {} if everything else topic.told
        news = {name: value for name, value in shown.vars.items() if name not in before or before[name] != value}
        topic.told = shown.vars
        if everything:
            topic.all_at = 0.0
        if news:
            delta = {topic.state: {f"{name}_rx_state_": value for name, value in news.items()}}
            await self.server.emit("event", StateUpdate(delta=delta), namespace=NAMESPACE, room=room)


async def show(state: rx.State, actor: Actor, what: str, of: Any, read: Read) -> None:
    """Put what `read` gives on the page that an event came from, and keep it up to date from now on.

    Args:
        state: Whose variables they are.
        actor: Who looks. Later `read` is given one that may see the same, and is nobody.
        what: A word for it; a page watches one thing under each word.
        of: What tells it from others that are read in the same way, as JSON could say it.
        read: Reads it.

    Raises:
        ProblemError: what `read` raises.
    """
    for name, value in (await read(actor)).vars.items():
        setattr(state, name, value)
    anybody = replace(actor, id="viewers", name="viewers", session_id=None, sudo_until=0, ip="")
    topic = _Topic(state.get_full_name(), state.router.url.path, anybody, read)
    key = orjson.dumps([of, topic.state, topic.path, actor.tenant, sorted(actor.permissions)])
    await current().part(Watching).join(this_socket(), what, hashlib.sha256(key).hexdigest()[:32], topic)


def this_socket() -> str:
    """The socket that the event came by."""
    return str(EventContext.get().router_data.get(RouteVar.SESSION_ID, ""))
