from collections.abc import Callable
from typing import Any, TypeVar

import flask
from apispec import APISpec
from marshmallow import Schema
from webargs.flaskparser import FlaskParser
from werkzeug.routing import BaseConverter

View = TypeVar("View", bound=Callable[..., Any])
AnySchema = type[Schema] | Schema | str | dict[str, Any] | None

class _Converter:
    def add_attribute_function(self, func: Callable[..., dict[str, Any]]) -> None: ...

class _Resolver:
    def resolve_operations(self, operations: dict[str, dict[str, Any]]) -> None: ...

class _MarshmallowPlugin:
    converter: _Converter
    resolver: _Resolver

class Api:
    ERROR_SCHEMA: type[Schema]
    spec: APISpec
    _app: flask.Flask
    ma_plugin: _MarshmallowPlugin
    def _openapi_json(self) -> flask.Response: ...
    def __init__(self, app: flask.Flask | None = None) -> None: ...
    def init_app(self, app: flask.Flask, *, spec_kwargs: dict[str, Any] | None = None) -> None: ...
    def register_blueprint(self, blp: Blueprint, **options: Any) -> None: ...
    def register_converter(
        self, converter: type[BaseConverter], func: Callable[[Any], dict[str, Any]]
    ) -> None: ...
    def register_field(self, field: type, *args: str | None) -> None: ...

class Blueprint(flask.Blueprint):
    def register_views_in_doc(
        self,
        api: Api,
        app: flask.Flask,
        spec: APISpec,
        *,
        name: str,
        parameters: list[dict[str, Any]] | None,
    ) -> None: ...
    ARGUMENTS_PARSER: FlaskParser
    description: str
    _prepare_doc_cbks: list[Callable[..., dict[str, Any]]]
    def __init__(self, *args: Any, description: str = "", **kwargs: Any) -> None: ...
    def route(self, rule: str, **options: Any) -> Callable[[View], View]: ...
    def arguments(
        self,
        schema: AnySchema,
        *,
        location: str = "json",
        content_type: str | None = None,
        required: bool = True,
        description: str | None = None,
        **kwargs: Any,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]: ...
    def response(
        self,
        status_code: int,
        schema: AnySchema = None,
        *,
        content_type: str | None = None,
        description: str | None = None,
        **kwargs: Any,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]: ...
    def alt_response(
        self, status_code: int, response: str | None = None, **kwargs: Any
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]: ...
    def doc(self, **kwargs: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]: ...
