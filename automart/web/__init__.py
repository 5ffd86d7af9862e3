"""Shared by all views: OpenAPI, authorization, schemas, pages, ETags, idempotency, URLs."""

from automart.web.authorization import (
    ADMIN,
    ANY,
    USER,
    Access,
    Caller,
    check_that_access_is_stated,
    current_caller,
    guard_blueprint,
    public,
    requires,
)
from automart.web.decorators import prepared
from automart.web.etags import check_version, secret_headers, version_headers
from automart.web.filters import where_given
from automart.web.idempotency import IdempotencyKey, expire_idempotency_keys, idempotent
from automart.web.openapi import Api, Blueprint, create_api
from automart.web.pagination import paginate, paginate_by
from automart.web.responses import created
from automart.web.schemas import (
    Output,
    PageQuery,
    Problem,
    Query,
    Resource,
    Schema,
    changes_of,
    example,
    page_of,
)
from automart.web.types import Answer, Values
from automart.web.urls import absolute_url

__all__ = [
    "ADMIN",
    "ANY",
    "USER",
    "Access",
    "Answer",
    "Api",
    "Blueprint",
    "Caller",
    "IdempotencyKey",
    "Output",
    "PageQuery",
    "Problem",
    "Query",
    "Resource",
    "Schema",
    "Values",
    "absolute_url",
    "changes_of",
    "check_that_access_is_stated",
    "check_version",
    "create_api",
    "created",
    "current_caller",
    "example",
    "expire_idempotency_keys",
    "guard_blueprint",
    "idempotent",
    "page_of",
    "paginate",
    "paginate_by",
    "prepared",
    "public",
    "requires",
    "secret_headers",
    "version_headers",
    "where_given",
]
