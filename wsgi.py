"""The WSGI application: `gunicorn wsgi:app`, `flask --app wsgi …`."""

import os
import sys

from automart import create_app
from automart.core.config import PRIVATE_UMASK, SettingsError

os.umask(PRIVATE_UMASK)
try:
    app = create_app()
except SettingsError as error:
    sys.exit(str(error))
