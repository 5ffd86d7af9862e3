"""The media types of requests and responses, and their negotiation."""

from __future__ import annotations

from flask import request
from werkzeug.datastructures import MIMEAccept

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"  # RFC 7396
PROBLEM_JSON = "application/problem+json"  # RFC 9457
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
HTML = "text/html"


def accepted_media_types() -> MIMEAccept:
    """Return the media types in `Accept` without their parameters, which select nothing here."""
    accepted = request.accept_mimetypes
    return MIMEAccept((value.partition(";")[0].strip(), quality) for value, quality in accepted)
