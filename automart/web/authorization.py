"""Who may call an operation. Every view says it, and no application starts with one that does not.

`automart.oauth.authentication`, a layer above, recognizes callers; it registers itself with
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
from flask import Flask, current_app, g, has_request_context, request

from automart.core.db import release_connection
from automart.core.errors import Forbidden
from automart.web.annotations import note
from automart.web.decorators import Layer, View, in_layer

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent the present request: a person or a machine.

    `id` is "user:7" or "client:0193…". `client_id` is None for people, whichever application they
    use; `scopes` are a machine's.
    """

    id: str
    user_id: int | None
    client_id: str | None
    is_admin: bool
    scopes: frozenset[str]
    login_id: uuid.UUID
    """The login on whose strength the request is made; ended, it takes its tokens along."""

    def may(self, scope: str) -> bool:
        """Whether this is an administrator, or a machine that was given `scope`."""
        return self.is_admin or scope in self.scopes


class Role(enum.StrEnum):
    """Whom `requires` lets in."""

    ANY = "any person or machine"
    USER = "any person"
    ADMIN = "an administrator"


ANY, USER, ADMIN = Role.ANY, Role.USER, Role.ADMIN


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call an operation: callers in `role`, and machines that have one of `scopes`.

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
        if self.is_public:
            return "Anyone, without a token."
        scopes = " or ".join(f"`{scope}`" for scope in self.scopes)
        machine = f"a service client with the scope {scopes}" if scopes else ""
        told = " or ".join(filter(None, (self.role, machine)))
        return f"{told[0].upper()}{told[1:]}."


_PUBLIC = Access()


def requires(
    role: Role | None = None, *, scope: str | tuple[str, ...] = ()
) -> Callable[[View], View]:
    """Let in callers in `role`, and machines with `scope` (one of them, if several are named).

    The outermost decorator of a view: nothing is read before the caller is known.
    """
    access = Access(role, (scope,) if isinstance(scope, str) else scope)
    if access.is_public:
        raise TypeError("Say who may call it, or that it is @public.")
    return _guarded(access)


def public(view: View) -> View:
    """Let everybody in, without a token."""
    return _guarded(_PUBLIC)(view)


def current_caller() -> Caller:
    """Who sent the present request. Only for views that `requires` guards."""
    caller: Caller = g.caller
    return caller


def current_caller_id() -> str | None:
    """The id of who sent the present request; None in public views, and where there is none."""
    caller: Caller | None = g.get("caller") if has_request_context() else None
    return caller.id if caller else None


def use_authentication(
    app: Flask, authenticate: Callable[[], Caller], session_caller: Callable[[], Caller | None]
) -> None:
    """Recognize callers with `authenticate`, which raises `Unauthenticated`, and people in their
    browsers with `session_caller`."""
    app.extensions["authenticate"] = authenticate
    app.extensions["session_caller"] = session_caller


def admit(access: Access, *, by_session: bool = False) -> None:
    """Let the present request pass, or raise `Unauthenticated` or `Forbidden`.

    `by_session` lets in who is logged in by the login page, too, if no token is sent.
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
        raise Forbidden(f"This is for: {access}", headers=_what_is_missing(access))
    g.caller = caller
    structlog.contextvars.bind_contextvars(caller=caller.id)  # for all that is logged from here on
    if request.content_length != 0 and request.method not in ("GET", "HEAD"):
        # The body may take its time, and must not keep a connection to the database meanwhile.
        release_connection()


def check_that_access_is_stated(app: Flask) -> None:
    """Raise `RuntimeError` that names each operation of `app` that is silent on who may call it."""
    silent = [f"{method} {rule}" for rule, method, access in stated_access(app) if access is None]
    if silent:
        told = "\n  ".join(sorted(silent))
        raise RuntimeError(
            "These operations do not say who may call them; their outermost decorator must be"
            f" @requires(…) or @public:\n  {told}"
        )


def stated_access(app: Flask) -> Iterator[tuple[str, str, Access | None]]:
    """The URL rule, method and access of every operation of `app`."""
    guarded: dict[str, Access] = app.extensions.setdefault("guarded_blueprints", {})
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        by_blueprint = guarded.get(rule.endpoint.rpartition(".")[0])
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            handler = getattr(getattr(view, "view_class", None), method.lower(), view)
            yield rule.rule, method, by_blueprint or _access_of(handler)


def guard_blueprint(app: Flask, name: str, access: Access, *, by_session: bool = False) -> None:
    """Let only `access` into the blueprint `name`, whose views are not ours to decorate.

    `by_session` is for pages that people open in their browsers. What changes something there must
    not be a GET: the session's cookie is sent along with foreign links, though not with forms.
    """
    app.extensions.setdefault("guarded_blueprints", {})[name] = access

    @app.before_request
    def guard() -> None:
        if request.blueprint == name:
            admit(access, by_session=by_session)


def _guarded(access: Access) -> Callable[[View], View]:
    def decorate(view: View) -> View:
        @wraps(view)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            admit(access)
            return view(*args, **kwargs)

        note(wrapper, access=access)
        # Whatever else is put around `wrapper` copies this, and so is told from it.
        vars(wrapper)["guard"] = wrapper
        return in_layer(Layer.ACCESS, wrapper)

    return decorate


def _access_of(view: View) -> Access | None:
    function = getattr(view, "__func__", view)
    if vars(function).get("guard") is not function:
        return None
    access: Access = vars(function)["_apidoc"]["access"]
    return access


def _what_is_missing(access: Access) -> dict[str, str]:
    """RFC 6750 §3.1."""
    if not access.scopes:
        return {}
    scopes = " ".join(access.scopes)
    return {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scopes}"'}
