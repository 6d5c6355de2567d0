"""The guard of Reflex's event handlers: each public method of a State is an RPC, and denied by default.

`@handler(Permission.X)` over a method enters it in the registry; the middleware sees every event
before its handler does, finds out who sends it from the session that the gate put on the socket, and
lets through only what the registry allows that user. Services check the actor again.
"""
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportPrivateUsage=false
# Socket.IO is untyped, and Reflex keeps the way to the root state to itself.

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import reflex as rx
import structlog
from reflex.event import Event, fix_events
from reflex.middleware.middleware import Middleware
from reflex.state import BaseState, StateUpdate
from reflex_base.constants import RouteVar
from reflex_base.event import BACKGROUND_TASK_MARKER
from reflex_base.event.context import EventContext
from reflex_base.registry import RegistrationContext

from novapulse.core import tracing
from novapulse.core.actor import Actor, Permission
from novapulse.core.errors import EnrolmentError, ForbiddenError, ReauthenticationError, UnauthorizedError
from novapulse.core.runtime import Runtime, current
from novapulse.security import sessions
from novapulse.security.denials import record_denial
from novapulse.security.gate import ENROL_PAGE, SESSION_HEADER
from novapulse.security.limits import Limits
from novapulse.security.policy import Policy
from novapulse.security.rates import RateClass
from novapulse.security.uses import Uses
from novapulse.ui import says

ROOM = "live"
PAUSED = "paused"  # in place of the room above, for who has stopped live changes
NAMESPACE = "/_event"
HANDLER = "handler"  # in place of the method, where uses are noted
F = TypeVar("F", bound=Callable[..., Any])

BACKGROUND_MAX = 8  # of one session at a time: Reflex starts each at once, however many there are

_ATTRIBUTE = "__novapulse_policy__"
_guarded: Mapping[str, Any] = {}  # the registered handlers of the app, by name, for who asks outside of an event

# What Reflex itself sends, by the ends of their names; they read no data of ours.
FRAMEWORK_EVENTS = (
    "state.hydrate",
    "state.hydrate_and_load",
    "state.set_is_hydrated",
    "on_load_internal_state.on_load_internal",
    "on_load_internal_state.set_is_hydrated",
    "update_vars_internal_state.update_vars_internal",
    "frontend_event_exception_state.handle_frontend_exception",
)

log = structlog.get_logger(__name__)


def handler(permission: Permission, *, sudo: bool = False) -> Callable[[F], F]:
    """Declare what an event handler takes; with `sudo`, a person proven lately. Goes above `@rx.event`.

    One that runs in the background runs `BACKGROUND_MAX` times at once for a session, and no more.
    """
    policy = Policy("session", frozenset({permission}), sudo, RateClass.SCREEN)

    def declare(method: F) -> F:
        function = getattr(method, "fn", method)
        if getattr(function, BACKGROUND_TASK_MARKER, False):
            method = function = _bounded(function)
        setattr(function, _ATTRIBUTE, policy)
        return method

    return declare


class _Running:
    """How many handlers run in the background for each session. Made by `Runtime.part`."""

    def __init__(self, _rt: Runtime) -> None:
        self.by_session: Counter[str] = Counter()


def _bounded(function: Any) -> Any:
    @functools.wraps(function)
    async def run(*arguments: Any, **named: Any) -> Any:
        running = current().part(_Running).by_session
        session_id = (await _live_session()).session_id
        if running[session_id] >= BACKGROUND_MAX:
            log.info("background_refused", session=session_id, handler=function.__qualname__)
            return says.error("This is going on several times already; wait a moment.")
        running[session_id] += 1
        try:
            return await function(*arguments, **named)
        finally:
            running[session_id] -= 1
            if not running[session_id]:
                del running[session_id]

    return run


def policy_of(registered: Any) -> Policy | None:
    """The declared policy of a registered handler; None: it may not be called."""
    return getattr(getattr(registered.handler, "fn", None), _ATTRIBUTE, None)


def is_framework_event(name: str) -> bool:
    """Whether this is one of the few events of Reflex itself that every signed-in page needs."""
    return name.endswith(FRAMEWORK_EVENTS)


def declared_handlers() -> Iterator[tuple[str, str, Policy | None]]:
    """Every handler of the guarded app: its name, what people call it, and its policy; None: it is Reflex's own."""
    for name, registered in _guarded.items():
        state = registered.states[0].__name__ if registered.states else ""
        yield name, f"{state}.{registered.handler.fn.__name__}", policy_of(registered)


async def handler_actor(_state: BaseState | None = None) -> Actor:
    """Who sent the event that is being handled.

    Raises:
        UnauthorizedError: the session has ended.
    """
    return (await _live_session()).actor(_ip())


async def _live_session() -> sessions.Live:
    # From the event's own routing data: what is stored in the state may be another connection's.
    headers = EventContext.get().router_data.get("headers", {})
    live = await sessions.find_by_id(current(), headers.get(SESSION_HEADER, ""))
    if live is None:
        raise UnauthorizedError("Your session has ended; sign in again.")
    return live


def _ip() -> str:
    return str(EventContext.get().router_data.get(RouteVar.CLIENT_IP, ""))


class DefaultDeny(Middleware):
    """Lets an event reach its handler only if the registry says so."""

    def __init__(self) -> None:
        """Guards the app that is being made; calls of the API see its handlers, too, although none is theirs."""
        global _guarded  # noqa: PLW0603 - one app per process
        _guarded = RegistrationContext.get().event_handlers

    async def preprocess(self, app: rx.App, state: BaseState, event: Event) -> StateUpdate | None:
        """Stop what is not allowed; see `Middleware.preprocess`."""
        tracing.enter_event()
        try:
            live = await _live_session()
        except UnauthorizedError:
            return StateUpdate(events=[_to_sign_in()])
        actor = live.actor(_ip())
        await self._bind(state, actor)
        counted = await current().part(Limits).check(RateClass.SCREEN, live.session_id)
        if not counted.allowed:
            log.info("event_limited", event_name=event.name[:200], actor=actor.id)
            return StateUpdate(events=fix_events([says.error(f"Too fast; wait {counted.retry_after_s} s.")], token=""))
        if not is_framework_event(event.name):
            registered = _registered(event.name)
            policy = None if registered is None else policy_of(registered)
            try:
                _check(policy, actor)
            except ReauthenticationError:
                return StateUpdate(events=_confirm_first(event))
            except EnrolmentError:
                # The grace ended while the page was open.
                return StateUpdate(events=fix_events([rx.redirect(ENROL_PAGE)], token=""))
            except ForbiddenError:
                log.warning("event_denied", event_name=event.name[:200], actor=actor.id)
                text = "This action does not exist." if policy is None else "You are not allowed to do this."
                # What does not exist has any name a client thinks of.
                where = "unknown" if policy is None else ".".join(event.name.rsplit(".", 2)[-2:])
                await record_denial(current(), actor, "handler", where, text)
                return StateUpdate(events=fix_events([says.error(text)], token=""))
            current().part(Uses).note(HANDLER, event.name)
        if not actor.must_enrol:
            await self._join(app)
        return None

    async def _bind(self, state: BaseState, actor: Actor) -> None:
        """State outlives a sign-out in the same tab: what one user saw must not be there for the next."""
        root = state._get_root_state()
        before = getattr(root, "_signed_in_as", None)
        if before is not None and before != actor.id:
            root.reset()
        object.__setattr__(root, "_signed_in_as", actor.id)

    async def _join(self, app: rx.App) -> None:
        sid = EventContext.get().router_data.get(RouteVar.SESSION_ID)
        if app.sio is not None and sid and not {ROOM, PAUSED} & set(app.sio.rooms(sid, NAMESPACE)):
            await app.sio.enter_room(sid, ROOM, NAMESPACE)


def _registered(name: str) -> Any:
    return RegistrationContext.get().event_handlers.get(name)


def _check(policy: Policy | None, actor: Actor) -> None:
    if policy is None:
        raise ForbiddenError("It has no policy.")
    for permission in policy.permissions:
        actor.require(permission)
    if policy.sudo:
        actor.require_sudo()


def _to_sign_in() -> Event:
    return fix_events([rx.redirect("/login")], token="")[0]


def _confirm_first(event: Event) -> list[Event]:
    """Have the page ask its user who they are, and send the same event again when they have shown it."""
    return fix_events([says.confirm_first(event.name, event.payload)], token="")
