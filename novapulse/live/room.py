"""Who is told of live changes: sockets join a room once they are known, and leave it while their user has paused."""

from __future__ import annotations

from typing import Any

from novapulse.core.runtime import Runtime
from novapulse.security.handlers import NAMESPACE, PAUSED, ROOM


class Room:
    """The room of this process. Made by `Runtime.part`."""

    def __init__(self, _rt: Runtime) -> None:
        self.server: Any = None  # the Socket.IO server, once there is one

    async def pause(self, sid: str, on: bool) -> None:
        """Tell this socket nothing more, or everything again."""
        if self.server is None or not sid:
            return
        leave, enter = (ROOM, PAUSED) if on else (PAUSED, ROOM)
        await self.server.leave_room(sid, leave, NAMESPACE)
        await self.server.enter_room(sid, enter, NAMESPACE)
