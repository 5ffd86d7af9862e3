"""What all views share: the Api and its documents, schemas, pages, versions, idempotency, URLs."""

from automart.api.documents import Api, Blueprint, create_api
from automart.api.idempotency import IdempotencyKey, forget_old_keys, idempotent
from automart.api.pages import link_to_next_page, paginate
from automart.api.schemas import PageQuery, ProblemSchema, Schema, page_of
from automart.api.urls import absolute_url
from automart.api.versions import check_version, version_response

__all__ = [
    "Api",
    "Blueprint",
    "IdempotencyKey",
    "PageQuery",
    "ProblemSchema",
    "Schema",
    "absolute_url",
    "check_version",
    "create_api",
    "forget_old_keys",
    "idempotent",
    "link_to_next_page",
    "page_of",
    "paginate",
    "version_response",
]
