"""The command `automart`, also as `python -m automart`."""

from automart.core.interrupts import end_at_interrupt


def main() -> None:
    """Run the command line."""
    end_at_interrupt()
    from automart.cli import app  # noqa: PLC0415 - Ctrl-C may come while it is imported

    app(prog_name="automart")


if __name__ == "__main__":
    main()
