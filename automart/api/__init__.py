"""What all views share: the Api and its documents, schemas, pages, versions, idempotency, URLs."""

from automart.api.access import (
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
from automart.api.documents import Api, Blueprint, create_api
from automart.api.idempotency import IdempotencyKey, forget_old_keys, idempotent
from automart.api.pages import paginate, paginate_by
from automart.api.responses import created
from automart.api.schemas import PageQuery, ProblemSchema, Query, Schema, changes_of, page_of
from automart.api.types import Answer, Values
from automart.api.urls import absolute_url
from automart.api.versions import check_version, secret_headers

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
    "PageQuery",
    "ProblemSchema",
    "Query",
    "Schema",
    "Values",
    "absolute_url",
    "changes_of",
    "check_that_access_is_stated",
    "check_version",
    "create_api",
    "created",
    "current_caller",
    "forget_old_keys",
    "guard_blueprint",
    "idempotent",
    "page_of",
    "paginate",
    "paginate_by",
    "public",
    "requires",
    "secret_headers",
]
