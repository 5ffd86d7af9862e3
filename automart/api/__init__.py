"""What all views share: the Api and its documents, schemas, pages, versions, idempotency, URLs."""

from automart.api.documents import Api, Blueprint, create_api
from automart.api.idempotency import IdempotencyKey, forget_old_keys, idempotent
from automart.api.pages import paginate
from automart.api.schemas import PageQuery, ProblemSchema, Query, Schema, page_of
from automart.api.urls import absolute_url
from automart.api.versions import check_version

__all__ = [
    "Api",
    "Blueprint",
    "IdempotencyKey",
    "PageQuery",
    "ProblemSchema",
    "Query",
    "Schema",
    "absolute_url",
    "check_version",
    "create_api",
    "forget_old_keys",
    "idempotent",
    "page_of",
    "paginate",
]
