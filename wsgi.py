"""The WSGI application: `gunicorn wsgi:app`, `flask --app wsgi …`."""

from automart import create_app

app = create_app()
