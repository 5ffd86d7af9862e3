"""What the fork server imports before it forks: all that web, worker and command line import."""

import gc

import gunicorn.app.wsgiapp
import gunicorn.workers.gthread

import automart.app
import automart.cli
import jobs.supervisor

__all__ = ["automart", "gunicorn", "jobs"]

# A collection in a program would copy the memory that it shares, and find nothing.
gc.freeze()
