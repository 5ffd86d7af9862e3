"""The photos of customers, which need no token: their URLs cannot be guessed."""

from __future__ import annotations

from flask import Response, request

from automart.customers import photos
from automart.customers.models import TOKEN_LENGTH
from automart.web import Blueprint, public

photo_blp = Blueprint("photos", __name__, url_prefix="/v1/photos", description="Photos")

WEBP = "image/webp"
PHOTO_HEADERS = {
    "Content-Disposition": 'inline; filename="photo.webp"',
    "Cache-Control": "public, max-age=31536000, immutable",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
}


TOKEN = {"in": "path", "name": "token", "description": "The last part of a `photo_url`."}


@photo_blp.route(f"/<string(length={TOKEN_LENGTH}):token>", parameters=[TOKEN])
@public
@photo_blp.response(200, {"type": "string", "format": "binary"}, content_type=WEBP)
def photo(token: str) -> Response:
    """Get a photo. Its URL is the `photo_url` of a customer until it is replaced or deleted."""
    response = Response(photos.read_photo(token), mimetype=WEBP, headers=PHOTO_HEADERS)
    response.set_etag(token)
    response.make_conditional(request)
    return response
