"""What `automart up` prints."""

from __future__ import annotations

import io

from automart.cli.console import Screen

LONG = "[x] " * 30


def test_a_line_of_a_program_begins_with_its_name_and_is_not_wrapped() -> None:
    file = io.StringIO()
    screen = Screen(file=file, width=40)
    for name in ("web", "sandbox", "another"):
        screen.process_line(name, LONG)
    screen.message(LONG)
    assert file.getvalue() == (f"web     │ {LONG}\nsandbox │ {LONG}\nanother │ {LONG}\n{LONG}\n")


def test_names_and_messages_have_colours_on_a_terminal() -> None:
    file = io.StringIO()
    screen = Screen(file=file, force_terminal=True, color_system="standard", no_color=False)
    for name in ("web", "worker", "sandbox", "redis", "another"):
        screen.process_line(name, "a line")
    screen.message("a message")
    screen.message("a warning", style="bold yellow")
    assert file.getvalue() == (
        "\x1b[36mweb     │ \x1b[0ma line\n"
        "\x1b[35mworker  │ \x1b[0ma line\n"
        "\x1b[33msandbox │ \x1b[0ma line\n"
        "\x1b[31mredis   │ \x1b[0ma line\n"
        "another │ a line\n"
        "\x1b[1ma message\x1b[0m\n"
        "\x1b[1;33ma warning\x1b[0m\n"
    )
