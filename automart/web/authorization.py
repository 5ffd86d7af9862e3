"""Who may call an operation. Every view states it; otherwise the application does not start.

`automart.oauth.authentication`, a layer above, identifies callers. It registers itself with
`use_authentication`.
"""

from __future__ import annotations

import enum
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import Any

import structlog
from flask import Blueprint, Flask, current_app, g, has_request_context, request

from automart.core.db import release_connection
from automart.core.errors import Forbidden
from automart.web.annotations import note
from automart.web.decorators import Layer, View, in_layer

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of the current request: a person or a service client.

    `id` is "user:7" or "client:0193…". `client_id` is None for people, in any application. `scopes`
    are those of a service client.
    """

    id: str
    user_id: int | None
    client_id: str | None
    is_admin: bool
    scopes: frozenset[str]
    login_id: uuid.UUID
    """The login that the access token belongs to. When it ends, its tokens become invalid."""

    def may(self, scope: str) -> bool:
        """Return whether this is an administrator, or a service client with `scope`."""
        return self.is_admin or scope in self.scopes


class Role(enum.StrEnum):
    """The callers that `requires` admits. The values complete "This requires …"."""

    ANY = "a signed-in user or a service client"
    USER = "a signed-in user"
    ADMIN = "an administrator"


ANY, USER, ADMIN = Role.ANY, Role.USER, Role.ADMIN


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call an operation: callers in `role`, and service clients with one of `scopes`.

    Without both it is public.
    """

    role: Role | None = None
    scopes: tuple[str, ...] = ()

    @property
    def is_public(self) -> bool:
        return self.role is None and not self.scopes

    def admits(self, caller: Caller) -> bool:
        if not caller.scopes.isdisjoint(self.scopes):
            return True
        is_person = caller.user_id is not None
        return {
            Role.ANY: True,
            Role.USER: is_person,
            Role.ADMIN: is_person and caller.is_admin,
            None: False,
        }[self.role]

    def __str__(self) -> str:
        """Return a phrase that completes "This requires …"."""
        if self.is_public:
            return "no token"
        scopes = " or ".join(f"`{scope}`" for scope in self.scopes)
        service_client = f"a service client with the scope {scopes}" if scopes else ""
        return ", or ".join(filter(None, (self.role, service_client)))


_PUBLIC = Access()


def requires(
    role: Role | None = None, *, scope: str | tuple[str, ...] = ()
) -> Callable[[View], View]:
    """Admit callers in `role`, and service clients with `scope`, or one of several.

    This is the outermost decorator of a view: nothing is read before the caller is known.
    """
    access = Access(role, (scope,) if isinstance(scope, str) else scope)
    if access.is_public:
        raise TypeError("Pass a role or a scope, or use @public.")
    return _guarded(access)


def public(view: View) -> View:
    """Admit everyone, without a token."""
    return _guarded(_PUBLIC)(view)


def current_caller() -> Caller:
    """Return the sender of the current request. Only for views with `requires`."""
    caller: Caller = g.caller
    return caller


def current_caller_id() -> str | None:
    """Return the id of the caller; None in public views, and outside of a request."""
    caller: Caller | None = g.get("caller") if has_request_context() else None
    return caller.id if caller else None


def use_authentication(
    app: Flask, authenticate: Callable[[], Caller], session_caller: Callable[[], Caller | None]
) -> None:
    """Identify callers with `authenticate`, which raises `Unauthenticated`, and people in browsers
    with `session_caller`."""
    app.extensions["authenticate"] = authenticate
    app.extensions["session_caller"] = session_caller


def admit(access: Access, *, by_session: bool = False) -> None:
    """Admit the current request, or raise `Unauthenticated` or `Forbidden`.

    `by_session` also admits people who have logged in on the login page, if no token is sent.
    """
    g.pop("caller", None)
    if access.is_public:
        return
    caller: Caller | None = None
    if by_session and "Authorization" not in request.headers:
        caller = current_app.extensions["session_caller"]()
    if caller is None:
        caller = current_app.extensions["authenticate"]()
    if not access.admits(caller):
        log.warning("access_denied", caller=caller.id, needs=str(access), path=request.path)
        raise Forbidden(f"This requires {access}.", headers=_missing_scope(access))
    g.caller = caller
    structlog.contextvars.bind_contextvars(caller=caller.id)  # in all log events from here on
    if request.method not in ("GET", "HEAD") and request.content_length != 0:
        # A slow client must not occupy a connection to the database while it sends the body.
        release_connection()


def check_that_access_is_stated(app: Flask) -> None:
    """Raise `RuntimeError` that lists the operations without a statement of who may call them."""
    silent = [f"{method} {rule}" for rule, method, access in stated_access(app) if access is None]
    if silent:
        listed = "\n  ".join(sorted(silent))
        raise RuntimeError(
            "These operations do not state who may call them. Their outermost decorator must be"
            f" @requires(…) or @public:\n  {listed}"
        )


def stated_access(app: Flask) -> Iterator[tuple[str, str, Access | None]]:
    """Yield the URL rule, method and access of every operation of `app`."""
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        blueprint = app.blueprints.get(rule.endpoint.rpartition(".")[0])
        by_blueprint = None if blueprint is None else vars(blueprint).get("access")
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            handler = getattr(getattr(view, "view_class", None), method.lower(), view)
            yield rule.rule, method, by_blueprint or _access_of(handler)


def guard_blueprint(blueprint: Blueprint, access: Access, *, by_session: bool = False) -> None:
    """Admit only `access` to a third party's blueprint, whose views we cannot decorate.

    `by_session` is for pages that people open in browsers. There, a GET must not change anything:
    browsers send the session's cookie with links from other sites, though not with forms.
    """
    vars(blueprint)["access"] = access

    @blueprint.before_request
    def guard() -> None:
        admit(access, by_session=by_session)


def _guarded(access: Access) -> Callable[[View], View]:
    def decorate(view: View) -> View:
        @wraps(view)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            admit(access)
            return view(*args, **kwargs)

        note(wrapper, access=access)
        # `wraps` copies this to any function around `wrapper`, which is then not its own guard.
        vars(wrapper)["guard"] = wrapper
        return in_layer(Layer.ACCESS, wrapper)

    return decorate


def _access_of(view: View) -> Access | None:
    function = getattr(view, "__func__", view)
    if vars(function).get("guard") is not function:
        return None
    access: Access = vars(function)["_apidoc"]["access"]
    return access


def _missing_scope(access: Access) -> dict[str, str]:
    """Return the header that names the missing scope (RFC 6750 §3.1)."""
    if not access.scopes:
        return {}
    scopes = " ".join(access.scopes)
    return {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scopes}"'}
