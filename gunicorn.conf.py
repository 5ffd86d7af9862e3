"""Settings of gunicorn, which reads this file from the folder in which it is started.

It listens on 127.0.0.1:8000, or on port PORT of all addresses if that is set.
"""

import gc
import os
import resource
import select
import selectors
import socket
import struct
import sys
import time
from contextlib import suppress
from functools import partial

import gunicorn.glogging
from gunicorn.workers import gthread

from automart.core import metrics
from automart.core.config import Settings, SettingsError
from automart.core.interrupts import end_at_interrupt
from automart.core.logging import start_logging
from automart.core.memory import return_large_blocks
from automart.core.schema_version import SchemaTooOld, check_before_start
from automart.core.turns import turn_released

end_at_interrupt()  # until gunicorn installs its handlers
try:
    settings = Settings.from_environment()
except SettingsError as error:
    sys.exit(str(error))
start_logging(settings)
return_large_blocks()


class Logger(gunicorn.glogging.Logger):
    """Passes gunicorn's messages to the application's logging, which also logs the requests."""

    def setup(self, cfg):
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


logger_class = Logger

workers = settings.web_concurrency
bind = f"0.0.0.0:{settings.port}" if settings.port else "127.0.0.1:8000"
# A slow client occupies a thread while it sends. 200 of them must leave some for the others.
threads = 128
# A worker that has no file descriptors left ends with the next connection, so it accepts fewer than
# its limit. The soft limit is low by default, and is raised.
MOST_CONNECTIONS = 12_000
OTHER_FILES = 500
_soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
_files = max(_soft, min(_hard, MOST_CONNECTIONS + OTHER_FILES))
resource.setrlimit(resource.RLIMIT_NOFILE, (_files, _hard))
worker_connections = max(2 * threads, min(MOST_CONNECTIONS, _files - OTHER_FILES))


DEFER = gthread._DEFER  # noqa: SLF001  the result for a connection without data has no public name
NEXT_REQUEST_MS = 5
# How long a thread serves connections that are never idle, while others wait for a thread.
TASK_SECONDS = 0.1
SHUT_DOWN = getattr(select, "POLLRDHUP", 0)  # Linux only; elsewhere only closed sockets are found
# How long a client may take for the head of a request, which costs no thread, and how long it may
# send nothing of a body, or take nothing of a response, which costs one.
HEAD_SECONDS = 15
IDLE_SECONDS = 20
LONGEST_HEAD = 65_536
END_OF_HEAD = b"\r\n\r\n"
# How long a client may take to close a connection that ends here, and what it may still send.
CLOSING_SECONDS = 2
LONGEST_REST = 65_536
# Longer than the 60 seconds after which nginx and the usual load balancers close idle connections:
# a request on a connection that is just being closed here would fail.
keepalive = 75


class Socket(socket.socket):
    """Lets other threads continue while it waits for its client."""

    def recv(self, size, flags=0):
        if self.gettimeout() is None:  # otherwise it would wait in spite of MSG_DONTWAIT
            try:
                return super().recv(size, flags | socket.MSG_DONTWAIT)
            except BlockingIOError:
                pass
        with turn_released():
            return super().recv(size, flags)

    def sendall(self, data, flags=0):
        sent = 0
        with suppress(BlockingIOError):
            sent = self.send(data, flags | socket.MSG_DONTWAIT)
        if sent < len(data):
            with turn_released():
                super().sendall(memoryview(data)[sent:], flags)

    def sendfile(self, file, offset=0, count=None):
        with turn_released():
            return super().sendfile(file, offset, count)


# A reload reads this file again.
_ORIGINAL = getattr(gthread.TConn, "original", gthread.TConn)


class Connection(_ORIGINAL):
    """Hands a new connection without data to the poller after 20 ms instead of 5 seconds.

    Gunicorn's constant must stay as it is: it is also the time that a thread has between a response
    and its next line of code. A kept-alive connection is closed if that takes longer.
    """

    original = _ORIGINAL

    def __init__(self, cfg, sock, client, server):
        super().__init__(cfg, Socket(fileno=sock.detach()), client, server)
        self.enough = 1  # bytes, before the poller reports the socket
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self.sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", IDLE_SECONDS, 0))

    def wait_for_data(self, timeout):
        return super().wait_for_data(min(timeout, 0.02)) and self.has_head()

    def has_head(self):
        """Return whether a thread can read the head of a request without waiting.

        If not, the poller reports the socket only when more of it has arrived.
        """
        if self.cfg.is_ssl:
            return True
        # After a request, the parser may have a part of the next one, or all of it.
        read = self.parser.unreader.buf.getvalue() if self.initialized else b""
        try:
            seen = socket.socket.recv(
                self.sock, LONGEST_HEAD, socket.MSG_PEEK | socket.MSG_DONTWAIT
            )
        except BlockingIOError:
            return END_OF_HEAD in read
        except OSError:
            return True  # the thread finds out
        is_complete = not seen or END_OF_HEAD in read + seen or len(read + seen) >= LONGEST_HEAD
        # Nothing more comes from a client that has shut down its side, but the socket is readable.
        is_complete = is_complete or _is_readable(self.sock, SHUT_DOWN, 0)
        enough = 1 if is_complete else len(seen) + 1
        if enough != self.enough:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, enough)
            self.enough = enough
        return is_complete


gthread.TConn = Connection


class Task:
    """What a thread does: it serves this connection."""

    def __init__(self, conn):
        self.conn = conn


class Worker(gthread.ThreadWorker):
    """Serves every connection that it has accepted, also during a shutdown.

    Gunicorn's own worker closes connections without data. Their requests may be under way, and
    would fail.
    """

    def enqueue_req(self, conn):
        task = Task(conn)
        future = self.tpool.submit(self.handle_task, task)
        future.add_done_callback(
            lambda done: self.method_queue.defer(self.finish_request, task.conn, done)
        )

    def handle_task(self, task):
        """Serve requests of a connection as long as they follow at once.

        Each way to the poller and back takes longer than most requests. Threads exchange their
        connections: waking each other takes long, too.
        """
        if self.cfg.is_ssl:  # its handshake waits for the client
            return super().handle(task.conn)
        if not task.conn.initialized and not task.conn.wait_for_data(
            gthread.DEFAULT_WORKER_DATA_TIMEOUT
        ):
            return DEFER
        turns = self.wsgi.extensions["turns"]
        task.conn = turns.take(task.conn)  # reading heads and sending responses compute, too
        end = time.monotonic() + TASK_SECONDS
        try:
            while self.has_request(task, turns):
                result = self.handle(task.conn)
                if result is not True or not self.alive:
                    return result
                # The pool has no public name for the tasks that wait. A counter of our own would
                # need a lock.
                others_wait = self.tpool._work_queue.qsize() > 0  # noqa: SLF001
                if others_wait and time.monotonic() > end:
                    return True  # by way of the poller, behind those that wait for a thread
                # others come first, and the client sends its next request
                task.conn = turns.exchange(task.conn)
            return True
        finally:
            turns.give_back()

    def has_request(self, task, turns):
        """Return whether the next request is there, and wait a moment for it if it is not.

        The connection may be another one afterwards.
        """
        if task.conn.has_head():
            return True
        turns.give_back()
        if not _is_readable(task.conn.sock):
            return False
        task.conn = turns.take(task.conn)
        return task.conn.has_head()

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        # Deadlines of connections that have sent a part of a head, or are being closed.
        self.waiting = {}

    def on_pending_socket_readable(self, conn, client):
        if conn.has_head():
            super().on_pending_socket_readable(conn, client)
        else:
            self.pending_conns.remove(conn)
            self.wait_for_head(conn)

    def on_client_socket_readable(self, conn, client):
        if conn.has_head():
            super().on_client_socket_readable(conn, client)
        else:
            self.keepalived_conns.remove(conn)
            self.wait_for_head(conn)

    def wait_for_head(self, conn):
        self.waiting[conn] = time.monotonic() + HEAD_SECONDS
        more = partial(self.on_more_of_head, conn)
        self.poller.modify(conn.sock, selectors.EVENT_READ, more)

    def on_more_of_head(self, conn, client):
        if conn.has_head():
            del self.waiting[conn]
            self.poller.unregister(client)
            conn.data_ready = True
            self.enqueue_req(conn)

    def murder_pending(self):
        super().murder_pending()
        now = time.monotonic()
        for conn in [conn for conn, deadline in self.waiting.items() if deadline < now]:
            self.stop_waiting(conn)

    def finish_request(self, conn, fs):
        result = not fs.cancelled() and not fs.exception() and fs.result()
        if result is DEFER:
            conn.sock.setblocking(False)
            conn.timeout = time.monotonic() + HEAD_SECONDS
            self.pending_conns.append(conn)
            self.poller.register(
                conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn)
            )
        elif not result:
            self.close_after_client(conn)
        elif conn.parser.unreader.buf.getvalue() and not conn.has_head():
            conn.sock.setblocking(False)
            self.poller.register(conn.sock, selectors.EVENT_READ)
            self.wait_for_head(conn)
        else:
            super().finish_request(conn, fs)

    def close_after_client(self, conn):
        """Close a connection when its client has closed it (RFC 9112 §9.6), or soon in any case.

        Gunicorn waits for each client in the thread that accepts all others.
        """
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.setblocking(False)
            self.poller.register(
                conn.sock, selectors.EVENT_READ, partial(self.on_rest, conn, [LONGEST_REST])
            )
        except (OSError, ValueError):  # the client, or the thread, has closed it
            self.nr_conns -= 1
            conn.close()
        else:
            self.waiting[conn] = time.monotonic() + CLOSING_SECONDS

    def on_rest(self, conn, left, client):
        try:
            received = len(socket.socket.recv(client, 65_536))
        except BlockingIOError:
            return
        except OSError:
            received = 0
        left[0] -= received
        if not received or left[0] <= 0:
            self.stop_waiting(conn)

    def stop_waiting(self, conn):
        del self.waiting[conn]
        self.poller.unregister(conn.sock)
        self.nr_conns -= 1
        conn.close()


worker_class = Worker


def _is_readable(sock, events=select.POLLIN, milliseconds=NEXT_REQUEST_MS):
    poller = select.poll()
    poller.register(sock, events)
    return bool(poller.poll(milliseconds))


# Bounds leaks of memory in libraries. With jitter, the processes do not restart at the same time.
max_requests = 500_000
max_requests_jitter = 100_000
# The application decides which proxies to trust: TRUSTED_PROXIES.
forwarded_allow_ips = ""
# Signals are enough to control it. A socket for `gunicornc` would be one more way in.
control_socket_disable = True


def when_ready(_server):
    gc.freeze()  # a collection in a worker would write to the memory that it shares


def pre_fork(server, worker):
    worker.slot = metrics.free_slot({other.slot for other in server.WORKERS.values()})


def post_fork(_server, worker):
    metrics.count_in_files(worker.slot)


def child_exit(_server, worker):
    metrics.remove_process(os.getpid(), worker.slot)


def on_exit(_server):
    metrics.remove_folder()


def on_starting(_server):
    try:
        check_before_start(settings)
    except SchemaTooOld as error:
        sys.exit(str(error))
    # The workers count for Prometheus in this folder. The master removes it when it ends.
    try:
        metrics.open_folder()
    except OSError as error:
        sys.exit(f"Cannot create a temporary folder: {error.strerror}.")
