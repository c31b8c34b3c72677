"""One's own defaults of options, from a file: below the environment, above what is built in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from styleforge.core.errors import UsageError
from styleforge.core.resources import config_file
from styleforge.core.settings import read_yaml, suggestion

EVERYWHERE = ("device", "precision", "memory", "depth", "quiet", "verbose")
"""Options that may be said once for all commands but ``rerun``, which repeats what was."""


def defaults(commands: Mapping[str, Any]) -> dict[str, Any]:
    """By command and parameter, as click's ``default_map``. Raises :class:`UsageError`."""
    if not config_file().is_file():
        return {}
    said = read_yaml(config_file())
    common = {key: said.pop(key) for key in EVERYWHERE if key in said}
    _check_known(said, [*commands, *EVERYWHERE])
    found = _of_commands(commands, said)
    for name, command in commands.items():
        own = {key: value for key, value in common.items() if key in _options(command)}
        if name != "rerun":
            found[name] = {**own, **found.get(name, {})}
    return found


def _of_commands(commands: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _of_command(name, commands[name], settings) for name, settings in said.items()}


def _of_command(name: str, command: Any, said: Any) -> dict[str, Any]:
    if not isinstance(said, Mapping):
        raise UsageError(f"{config_file()}: {name} should map options to values (not {said!r})")
    if hasattr(command, "commands"):
        _check_known(said, command.commands)
        return _of_commands(command.commands, said)
    options = _options(command)
    _check_known(said, options)
    return {options[key].name: _several(options[key], value) for key, value in said.items()}


def _options(command: Any) -> dict[str, Any]:
    """By the name that they have on the command line, without its dashes."""
    return {
        flag[2:]: option
        for option in command.params
        for flag in option.opts
        if flag.startswith("--") and flag != "--help"
    }


def _several(option: Any, value: Any) -> Any:
    return [value] if option.multiple and not isinstance(value, list) else value


def _check_known(said: Mapping[str, Any], known: Mapping[str, Any] | list[str]) -> None:
    for key in said:
        if key not in known:
            raise UsageError(
                f"{config_file()}: no command or option {key!r}{suggestion(str(key), known)}"
            )
