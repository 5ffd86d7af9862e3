"""The program `gunicorn` of this environment: gunicorn's own, after a look at one setting.

Gunicorn reads WEB_CONCURRENCY as soon as it is imported, before it reads `gunicorn.conf.py`, and a
value that is no number ends it with a traceback.
"""

from __future__ import annotations

import os
import runpy
import sys

from automart.core.config import Settings, SettingsError
from automart.core.interrupts import end_at_interrupt

NAME = "WEB_CONCURRENCY"


def main() -> None:
    """Run gunicorn. Exit with all wrong settings if WEB_CONCURRENCY is wrong."""
    end_at_interrupt()  # until gunicorn has handlers of its own
    if not os.environ.get(NAME, "1").isdecimal():
        try:
            os.environ[NAME] = str(Settings.from_environment().web_concurrency)
        except SettingsError as error:
            sys.exit(str(error))
    runpy.run_module("gunicorn", run_name="__main__")
