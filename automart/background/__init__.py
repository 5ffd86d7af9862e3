"""Background jobs: a row first, then a message."""

from automart.background import kinds
from automart.background.kinds import Kind
from automart.background.models import Job, JobState
from automart.background.service import submit

__all__ = ["Job", "JobState", "Kind", "kinds", "submit"]
