"""What somebody meets who has just installed it."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Command


def test_pictures_alone_are_a_transfer(command: Command) -> None:
    assert command("c.png", "s.png", "-p", "p.yaml", "-o", "out.png").code == 0
    assert Path("out.png").is_file()


def test_a_picture_that_is_not_there_is_no_command(command: Command) -> None:
    done = command("phto.jpg", "s.png")
    assert (done.code, done.err) == (2, "Error: no such file: phto.jpg\n")


def test_a_word_that_is_no_command(command: Command) -> None:
    done = command("transfr", "c.png", "s.png")
    assert done.code == 2
    assert done.err == "Error: No such command 'transfr'. Did you mean 'transfer', 'train'?\n"
