"""The WSGI application: `gunicorn wsgi:app`, `flask --app wsgi …`."""

import os

from automart import create_app
from automart.config import PRIVATE_UMASK

os.umask(PRIVATE_UMASK)
app = create_app()
