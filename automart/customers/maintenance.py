"""Housekeeping of photos: deletes the files that belong to no customer."""

from __future__ import annotations

from sqlalchemy import func, or_, select, update

from automart.core.db import db, release_connection, transaction, utcnow
from automart.customers.models import OrphanedPhoto
from automart.customers.photos import UPLOAD_TIME_LIMIT, delete_files

BATCH_SIZE = 500


def delete_orphaned_photos() -> int:
    """Delete photo files that belong to no customer. Return their number.

    It stops after a few seconds, because other tasks wait for it. The rest is deleted by the next
    call.
    """
    is_abandoned = OrphanedPhoto.created_at < utcnow() - UPLOAD_TIME_LIMIT
    orphans = select(OrphanedPhoto.token).where(or_(OrphanedPhoto.pending_deletion, is_abandoned))
    # In random order, so that files which cannot be deleted do not hold up the others.
    tokens = list(db.session.scalars(orphans.order_by(func.random()).limit(BATCH_SIZE)))
    release_connection()
    if not tokens:
        return 0
    with transaction():
        chosen = OrphanedPhoto.token.in_(tokens)
        db.session.execute(update(OrphanedPhoto).where(chosen).values(pending_deletion=True))
        tokens = list(db.session.scalars(select(OrphanedPhoto.token).where(chosen)))
    return delete_files(tokens)
