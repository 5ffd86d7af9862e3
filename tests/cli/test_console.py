"""What commands print on files, pipes and terminals."""

from __future__ import annotations

import io

import pytest
from rich.table import Table

from automart.cli.console import Output, Screen

LONG = "[x] " * 30
NAME = "[/b] [bold]Ann[/bold] :car: 42"


def table(cell: str) -> Table:
    table = Table(box=None, show_header=False)
    table.add_row(cell)
    return table


@pytest.mark.parametrize("is_terminal", [True, False])
def test_names_are_printed_as_they_are(is_terminal: bool) -> None:
    file = io.StringIO()
    output = Output(file=file, force_terminal=is_terminal, width=80, color_system="standard")
    output.print(NAME)
    output.print(table(NAME))
    assert [line.strip() for line in file.getvalue().splitlines()] == [NAME, NAME]


def test_what_could_control_a_terminal_is_escaped() -> None:
    file = io.StringIO()
    output = Output(file=file, width=80)
    output.print("Ann \u202e\x1b[31m\x07\nand Ben")
    output.print(table("Ann \u2066\x9b31m"))
    assert [line.strip() for line in file.getvalue().splitlines()] == [
        "Ann \\u202e\\x1b[31m\\x07",
        "and Ben",
        "Ann \\u2066\\x9b31m",
    ]


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_width_of_zero_hides_nothing(monkeypatch: pytest.MonkeyPatch, is_terminal: bool) -> None:
    monkeypatch.setenv("COLUMNS", "0")
    file = io.StringIO()
    Output(file=file, force_terminal=is_terminal).print(table("Ann"))
    assert file.getvalue().strip() == "Ann"


def test_only_a_terminal_or_a_chosen_width_wraps_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    def printed(**options: object) -> int:
        file = io.StringIO()
        Output(file=file, **options).print(table("a cell " * 200))
        return len(file.getvalue().splitlines())

    monkeypatch.setenv("COLUMNS", "80")
    assert printed() > 1
    assert printed(force_terminal=True) > 1
    monkeypatch.delenv("COLUMNS")
    assert printed() == 1
    assert printed(force_terminal=True) > 1
    assert printed(width=80) > 1


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
