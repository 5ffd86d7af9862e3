"""The WSGI application: `gunicorn wsgi:app`, `flask --app wsgi …`."""

# ruff: noqa: E402 - the collector would look for garbage among the other imports
import gc

gc.disable()

import os
import sys

from automart import create_app
from automart.core.config import PRIVATE_UMASK, SettingsError

os.umask(PRIVATE_UMASK)
try:
    app = create_app()
except SettingsError as error:
    sys.exit(str(error))
finally:
    gc.enable()
gc.freeze()  # what lives as long as the process is not looked through again and again
