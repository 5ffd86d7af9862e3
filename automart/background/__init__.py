"""Background jobs: first a row in the database, then a message in Redis."""

from automart.background import kinds
from automart.background.kinds import Kind
from automart.background.models import Job, JobState, SubmittedJob
from automart.background.service import submit

__all__ = ["Job", "JobState", "Kind", "SubmittedJob", "kinds", "submit"]
