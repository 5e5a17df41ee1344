"""Completion of edged's command line for bash, zsh and fish. Pure."""

from collections.abc import Iterable, Sequence

from edged.cli.outline import Argument, Command

TOP = "# Made by script/documents: a change here is lost."


def bash(edged: Command, settings: Sequence[str]) -> str:
    """Return the file for /usr/share/bash-completion/completions/edged."""
    return f"""\
{TOP}
_edged() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} command= word
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "$command $word" in
            {_alternatives(edged)}) command="$command $word" ;;
        esac
    done
    COMPREPLY=()
    case "$command $before" in
        {_values(edged, "file")}) compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
        {_values(edged, "directory")}) compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -d -- "$current"); return ;;
        {_values(edged, "setting")}) compopt -o nospace
            mapfile -t COMPREPLY < <(compgen -S = -W "{" ".join(settings)}" -- "$current"); return ;;
        {_values(edged, "text")}) return ;;
{_lines(8, (f'"{key}") set -- {" ".join(words)} ;;' for key, words in _choices(edged)))}
        *)
            case $command in
{_lines(16, (f'"{_key(each)}") set -- {" ".join(_words(each))} ;;' for each in edged.all()))}
            esac ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$*" -- "$current")
}}
complete -F _edged edged
"""


def zsh(edged: Command, settings: Sequence[str]) -> str:
    """Return the file `_edged`, for a directory in `fpath`."""
    return f"""\
#compdef edged
{TOP}
local command= before=$words[CURRENT-1] word
local -a found
for word in $words[2,CURRENT-1]; do
    case "$command $word" in
        {_alternatives(edged)}) command="$command $word" ;;
    esac
done
case "$command $before" in
    {_values(edged, "file")}) _files; return ;;
    {_values(edged, "directory")}) _files -/; return ;;
    {_values(edged, "setting")}) compadd -S = -- {" ".join(settings)}; return ;;
    {_values(edged, "text")}) return ;;
{_lines(4, (f'"{key}") compadd -- {" ".join(words)}; return ;;' for key, words in _choices(edged)))}
esac
case $command in
{_lines(4, (f'"{_key(each)}") found=({" ".join(_described(each))}) ;;' for each in edged.all()))}
esac
_describe edged found
"""


def fish(edged: Command, settings: Sequence[str]) -> str:
    """Return the file `edged.fish`, for a directory of fish's completions."""
    lines = [TOP, "complete -c edged -f"]
    for command in edged.all():
        where = _fish_condition(command)
        for below in command.commands:
            lines.append(f"complete -c edged -n '{where}' -a {below.words[-1]} -d {_quoted(below.summary)}")
        for argument in command.arguments:
            lines.append(f"complete -c edged -n '{where}'{_fish_argument(argument, settings)}")
    return "\n".join(lines) + "\n"


def _fish_condition(command: Command) -> str:
    seen = [f"__fish_seen_subcommand_from {word}" for word in command.words]
    unseen = [f"not __fish_seen_subcommand_from {' '.join(each.words[-1] for each in command.commands)}"]
    return "; and ".join([*seen, *(unseen if command.commands else [])])


def _fish_argument(argument: Argument, settings: Sequence[str]) -> str:
    flags = "".join(f" -l {flag[2:]}" if flag.startswith("--") else f" -s {flag[1:]}" for flag in argument.flags)
    values = {
        "choice": f" -a {_quoted(' '.join(argument.choices))}",
        "file": " -F",
        "directory": " -a '(__fish_complete_directories)'",
        "setting": f" -a {_quoted(' '.join(f'{each}=' for each in settings))}",
        "text": "",
        "nothing": "",
    }[argument.takes]
    needs_one = bool(argument.flags) and argument.takes != "nothing"
    required = (" -r" if argument.takes == "file" else " -x") if needs_one else ""
    return f"{flags}{required}{values} -d {_quoted(_short(argument.text))}"


def _alternatives(edged: Command) -> str:
    """The commands, as patterns of `case`."""
    return "|".join(f'"{_key(each)}"' for each in edged.all() if each.words)


def _values(edged: Command, kind: str) -> str:
    """Patterns for what stands before a value of a kind: `" run --config"`, or the command itself."""
    found = [
        f'"{_key(command)} {before}"'
        for command in edged.all()
        for argument in command.arguments
        for before in argument.flags or command.words[-1:]
        if argument.takes == kind
    ]
    return "|".join(found) or '"-"'


def _choices(edged: Command) -> list[tuple[str, tuple[str, ...]]]:
    """Return each flag behind its command, with the choices that may follow it."""
    return [
        (f"{_key(each)} {flag}", argument.choices)
        for each in edged.all()
        for argument in each.arguments
        for flag in argument.flags
        if argument.takes == "choice"
    ]


def _words(command: Command) -> list[str]:
    """Return what may follow a command, without values."""
    alone = [choice for each in command.arguments if not each.flags for choice in each.choices]
    flags = [flag for each in command.arguments for flag in each.flags]
    return [*(each.words[-1] for each in command.commands), *alone, *flags]


def _described(command: Command) -> list[str]:
    """The same for zsh: `word:what it is`."""
    texts = {each.words[-1]: each.summary for each in command.commands}
    texts |= {flag: _short(each.text) for each in command.arguments for flag in (each.flags or each.choices)}
    return [_quoted(f"{word}:{text}" if text else word) for word, text in texts.items()]


def _key(command: Command) -> str:
    """`" spool status"`; empty for edged itself."""
    return "".join(f" {word}" for word in command.words)


def _short(text: str) -> str:
    return text.partition(";")[0].partition(" (")[0]


def _quoted(text: str) -> str:
    """Quote a text for all three shells: none has escapes that begin with anything but these."""
    return "'" + text.replace("'", "’").replace("\\", "/") + "'"


def _lines(indent: int, lines: Iterable[str]) -> str:
    return "\n".join(" " * indent + line for line in lines)
