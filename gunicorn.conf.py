"""Settings of gunicorn, which reads this file from the folder that it is started in.

It listens at 127.0.0.1:8000, or at port PORT of all addresses where a platform sets that.
"""

import os
import resource
import selectors
import sys
from functools import partial

import gunicorn.glogging
from gunicorn.workers import gthread

from automart.core import metrics
from automart.core.config import Settings, SettingsError
from automart.core.interrupts import end_at_interrupt
from automart.core.logging import start_logging
from automart.core.schema_version import SchemaTooOld, check_before_start

end_at_interrupt()  # until gunicorn has handlers of its own
try:
    settings = Settings.from_environment()
except SettingsError as error:
    sys.exit(str(error))
start_logging(settings)


class Logger(gunicorn.glogging.Logger):
    """Hands what gunicorn has to say to the application's logging. Requests are logged there."""

    def setup(self, cfg):
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


logger_class = Logger

workers = settings.web_concurrency
bind = f"0.0.0.0:{settings.port}" if settings.port else "127.0.0.1:8000"
# A slow client keeps a thread for as long as it takes; 200 of them must leave some for the others.
threads = 128
# A worker that may open no more files dies of the next caller: it takes fewer than that, and of the
# limits, which are low by default, the one that a process may raise by itself is raised.
MOST_CONNECTIONS = 12_000
OTHER_FILES = 500
_soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
_files = max(_soft, min(_hard, MOST_CONNECTIONS + OTHER_FILES))
resource.setrlimit(resource.RLIMIT_NOFILE, (_files, _hard))
worker_connections = max(2 * threads, min(MOST_CONNECTIONS, _files - OTHER_FILES))


class Connection(gthread.TConn):
    """Goes to the poller when it has nothing to say yet, and not for five seconds to a thread.

    Gunicorn's constant must stay as it is: it is also the time after an answer within which a
    thread must have come to its next line, or else a connection is closed that was to be kept.
    """

    def wait_for_data(self, timeout):
        return super().wait_for_data(min(timeout, 0.02))


gthread.TConn = Connection


class Worker(gthread.ThreadWorker):
    """Hears, also when it is about to end, the callers whom it has accepted.

    Gunicorn's own closes those connections that have said nothing yet: their requests, which may
    be on their way, would fail.
    """

    def finish_request(self, conn, fs):
        silent = gthread._DEFER  # noqa: SLF001  gunicorn has no public name for this answer
        if fs.cancelled() or fs.exception() or fs.result() is not silent:
            super().finish_request(conn, fs)
            return
        conn.sock.setblocking(False)
        conn.set_timeout()
        self.pending_conns.append(conn)
        self.poller.register(
            conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn)
        )


worker_class = Worker

# Whatever a library may leak does not grow for ever, and not all processes start anew at once.
max_requests = 20_000
max_requests_jitter = 5_000
# Which proxies are heeded is the application's business: TRUSTED_PROXIES.
forwarded_allow_ips = ""
# Workers are found by signals; a socket for `gunicornc` would only be one more way in.
control_socket_disable = True


def pre_fork(server, worker):
    worker.slot = metrics.free_slot({other.slot for other in server.WORKERS.values()})


def post_fork(_server, worker):
    metrics.count_in_files(worker.slot)


def child_exit(_server, worker):
    metrics.forget_process(os.getpid(), worker.slot)


def on_exit(_server):
    metrics.remove_folder()


def on_starting(_server):
    try:
        check_before_start(settings)
    except SchemaTooOld as error:
        sys.exit(str(error))
    # Where the processes count for Prometheus; it goes with the master.
    try:
        metrics.open_folder()
    except OSError as error:
        sys.exit(f"Cannot make a temporary folder: {error.strerror}.")
