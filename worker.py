"""`python worker.py`: a worker for every queue, and housekeeping; `worker.py QUEUE`: for one.

Any number may run, on any number of hosts. SIGTERM ends it within 20 seconds.
"""

# ruff: noqa: E402 - Ctrl-C may come, and the collector would look for garbage, during the imports
import gc

from automart.core.interrupts import end_at_interrupt

end_at_interrupt()
gc.disable()  # the supervisor enables it

import os
import sys
from typing import Annotated

import typer

from automart.background.kinds import Queue
from automart.core.config import PRIVATE_UMASK, Settings, SettingsError
from automart.core.logging import start_logging
from automart.core.schema_version import SchemaTooOld, check_before_start
from jobs.supervisor import Supervisor


def main(
    queue: Annotated[Queue | None, typer.Argument(help="The only queue to serve.")] = None,
) -> None:
    """Work on background jobs until SIGTERM or Ctrl-C."""
    os.umask(PRIVATE_UMASK)
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        sys.exit(str(error))
    start_logging(settings)
    try:
        check_before_start(settings)
    except SchemaTooOld as error:
        sys.exit(str(error))
    Supervisor([queue] if queue else list(Queue)).run()


if __name__ == "__main__":
    typer.run(main)
