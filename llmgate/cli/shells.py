"""`llmgate completion`: what shells need to complete commands."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from llmgate.cli.command import Cli, command, group
from llmgate.cli.completion import VARIABLE
from llmgate.errors import InputNeeded

completion = group("completion", "Completion of commands and names in your shell.")


class Shell(StrEnum):
    """A shell whose completion is known."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


ShellArgument = Annotated[Shell | None, typer.Argument(help="Your shell; SHELL's where it is left out.")]

_BASH = r"""_llmgate_completion() {
    local IFS=$' \t\n' words word before
    read -ra words <<< "${COMP_LINE:0:COMP_POINT}"
    [[ ${COMP_LINE:0:COMP_POINT} == *[[:space:]] ]] && words+=("")
    word="${words[${#words[@]}-1]}"
    IFS=$'\n'
    COMPREPLY=( $(COMP_WORDS="${words[*]}" COMP_CWORD=$(( ${#words[@]} - 1 )) _LLMGATE_COMPLETE=complete_bash "$1" 2>/dev/null) )
    # Bash breaks words at ":" too, which names of models have, and replaces only what stands behind it.
    before="${word%"${word##*:}"}"
    [[ $COMP_WORDBREAKS == *:* ]] && COMPREPLY=( "${COMPREPLY[@]#"$before"}" )
    return 0
}

complete -o default -F _llmgate_completion llmgate
"""  # noqa: E501  a line of the script


@command(completion, "show")
def show(cli: Cli, shell: ShellArgument = None) -> None:
    """Print the script that makes a shell complete commands.

    Examples:
      source <(llmgate completion show bash)
    """
    cli.out.data(_script(shell or _found()))


@command(completion, "install")
def install(cli: Cli, shell: ShellArgument = None) -> None:
    """Install the script for your user; new shells complete commands then."""
    from typer.completion import install as install_script  # type: ignore[attr-defined]  # as its own option does

    name, path = install_script(shell=(shell or _found()).value, prog_name="llmgate", complete_var=VARIABLE)
    if name == Shell.BASH:
        path.write_text(_BASH, encoding="utf-8")
    cli.out.message(f"Installed {path}. New shells complete commands.")


def _script(shell: Shell) -> str:
    from typer.completion import get_completion_script  # type: ignore[attr-defined]  # as its own option does

    if shell is Shell.BASH:
        return _BASH.strip()
    return get_completion_script(prog_name="llmgate", complete_var=VARIABLE, shell=shell.value)


def _found() -> Shell:
    try:
        return Shell(Path(os.environ.get("SHELL", "")).name)
    except ValueError:
        raise InputNeeded("Which shell is yours cannot be told.", hint="Name it: bash, zsh or fish.") from None
