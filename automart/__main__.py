"""The command `automart`, also as `python -m automart`."""

import atexit
import gc
import sys

from automart.core.interrupts import end_at_interrupt
from automart.core.standard_streams import prepare_standard_streams

# Most of what a command allocates are modules. The collector finds no garbage among them, and looks
# for it during their import and at the end, for a third of the time that a short command takes.
COLLECTED_EVERY = 50_000


def main() -> None:
    """Run the command line."""
    end_at_interrupt()
    prepare_standard_streams()
    gc.set_threshold(COLLECTED_EVERY)
    atexit.register(gc.freeze)
    from automart.cli import app  # noqa: PLC0415 - Ctrl-C may come while it is imported

    try:
        app(prog_name="automart")
    except OSError as error:  # the help cannot be written
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
