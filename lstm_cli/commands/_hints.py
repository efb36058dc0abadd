"""What a command line that cannot be parsed was likely meant to be."""

from __future__ import annotations

import re
from pathlib import Path

from lstm_cli.base.errors import suggest
from lstm_cli.base.paste import FileName, command
from lstm_cli.commands._front import COMMANDS

_ALIASES = {
    "--h": ("--hidden", "--hidden-state", "--h0", "--hx", "--h_prev", "--hprev", "--ht"),
    "--c": ("--cell-state", "--c0", "--cx", "--c_prev", "--cprev", "--ct"),
    "--x": ("--input", "--inputs", "--xt", "--x_t"),
    "--weights": ("--weight", "--model", "--file"),
}
_VECTORS = ("--x", "-x", "--h", "--h-prev", "--c", "--c-prev")
_NUMBERS = r"[\[(]?[-+]?\.?[0-9][-+.,;eE0-9]*[\])]?"
_SAMPLES = (".jsonl", ".csv", ".tsv", ".parquet", ".gz")
# A word is quoted as Python does it: in double quotes where it has single ones.
_UNKNOWN = r"""No such (?:option|command):? (?:'([^']*)'|"([^"]*)"|(--?[^\s']+))"""
_QUOTE = "quote a vector that contains spaces, as in --x '0 0.5', or use commas"


def usage_hint(message: str, where: str, arguments: list[str]) -> tuple[str, str]:
    """Return the message of a usage error, without guesses that are wrong, and what to try."""
    unknown = re.match(_UNKNOWN, message)
    name = next(filter(None, unknown.groups()), "") if unknown else ""
    if "No such option: --layer" in message:
        return (
            message,
            "--lstm NAME chooses an LSTM of a weight file, by its name or its number from 0",
        )
    for meant, others in _ALIASES.items():
        if name in others:
            words = [re.sub(rf"^{name}(?==|$)", meant, word) for word in arguments]
            return f"No such option: {name}", command(*words)
    loose = re.match("-?[0-9.]", name) or re.search(r"extra argument.*\(-?[0-9.\[]", message)
    if loose:
        return message, _with_vectors(arguments)
    if message.startswith("No such command") and "Did you mean" not in message:
        return message, _instead_of(name)
    return message, f"{where} --help"


def _instead_of(word: str) -> str:
    """Return the command for a file alone, or the nearest name of a command."""
    if Path(word).suffix.lower() in _SAMPLES:
        return command("batch", FileName(word))
    if Path(word).suffix and word not in COMMANDS:
        return command("inspect", FileName(word)) + ", or -w and --x to run it"
    return suggest(word, COMMANDS)


def _with_vectors(arguments: list[str]) -> str:
    """Return the command line with its loose numbers in options, or how to quote them."""
    words: list[str] = []
    loose: list[str] = []
    for word in arguments:
        is_value = words and re.match("--?[a-z]", words[-1]) and "=" not in words[-1]
        if is_value or not re.fullmatch(_NUMBERS, word):
            words.append(word)
        elif len(words) > 1 and words[-2] in _VECTORS:
            words[-1] += f" {word}"
        else:
            loose.append(word)
    free = [name for name in ("--h", "--x") if name not in words][-len(loose) :] if loose else []
    mixed = any(re.search(r"[^ ],[^ ].* | .*[^ ],[^ ]", word) for word in words)
    if mixed or len(free) < len(loose):
        return _QUOTE
    return command(*words, *(each for pair in zip(free, loose, strict=True) for each in pair))
