"""Can the mail server be reached? Looked at seldom, and nobody waits for it: it belongs to somebody else."""

from __future__ import annotations

import asyncio

from novapulse.core.health import Found, Health
from novapulse.core.runtime import Runtime
from novapulse.mail.server import parse_smtp_url

_FRESH_S, _BAD_FRESH_S = 300.0, 30.0


class MailCheck:
    """Adds `smtp` to the checks of a process; made by `Runtime.part`."""

    def __init__(self, rt: Runtime) -> None:
        self._url = rt.settings.smtp_url.get_secret_value()
        rt.part(Health).add("smtp", self._look, fresh_s=_FRESH_S, bad_fresh_s=_BAD_FRESH_S, waits=not self._url)

    async def _look(self) -> Found:
        """Connect and be greeted; nobody signs in. Without it mail waits, so it is a warning and no more."""
        if not self._url:
            return Found(detail={"set": False, "says": "no mail server is set: no mail is sent"})
        server = parse_smtp_url(self._url)
        detail = {"set": True, "host": server.host, "port": server.port}
        try:
            _, writer = await asyncio.open_connection(server.host, server.port)
        except OSError as error:
            return Found(f"the mail server cannot be reached: {error.strerror or 'no address'}", True, detail)
        writer.close()
        return Found(detail=detail)
