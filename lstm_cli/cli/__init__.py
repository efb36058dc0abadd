"""The door: `main` handles errors and signals, `app` holds the commands."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from lstm_cli.errors import ExitCode, LstmStepError, safe
from lstm_cli.version import __version__


def main(arguments: list[str] | None = None) -> None:
    """Run `lstm-step` and leave with its exit code."""
    arguments = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if arguments in (["--version"], ["-V"]):  # answered before anything heavy is imported
        print(f"lstm-step {__version__}")
        return
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(_guarded(arguments))


def _guarded(arguments: list[str]) -> int:
    """Return the exit code of the program, every error said in three lines on stderr."""
    try:
        return program(arguments)
    except LstmStepError as error:
        _report(error.as_record(), arguments)
        return error.exit_code
    except BrokenPipeError:
        _silence_stdout()  # the reader has seen enough (`| head`): that is no error
        return ExitCode.DONE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED
    except MemoryError:
        record = {"code": "too_large", "message": "not enough memory", "where": "",
                  "try": "run fewer steps or samples at a time"}  # fmt: skip
        _report(record, arguments)
        return ExitCode.INPUT
    except Exception as error:
        if os.environ.get("LSTM_STEP_DEBUG"):
            raise
        record = {"code": "bug", "message": f"this is a bug: {type(error).__name__}: {error}",
                  "where": "lstm-step " + " ".join(arguments)[:300],
                  "try": "LSTM_STEP_DEBUG=1 shows where; please report it"}  # fmt: skip
        _report(record, arguments)
        return ExitCode.BUG


def program(arguments: list[str]) -> int:
    """Run the command line without any handling of our own errors; return the exit code."""
    import typer

    from lstm_cli.cli.app import app

    usage_error: Any = typer.BadParameter.__base__
    try:
        result = typer.main.get_command(app).main(
            arguments, prog_name="lstm-step", standalone_mode=False
        )
    except usage_error as error:
        command = error.ctx.command_path if error.ctx else "lstm-step"
        _report(
            {"code": "usage", "message": error.format_message(), "where": command,
             "try": f"{command} --help"}, arguments,
        )  # fmt: skip
        return ExitCode.USAGE
    except typer.Exit as leave:
        return leave.exit_code
    except typer.Abort:
        raise KeyboardInterrupt from None
    return result if isinstance(result, int) else ExitCode.DONE


def _report(record: dict[str, str], arguments: list[str]) -> None:
    """Write an error to stderr: JSON where JSON was asked for, else three lines."""
    try:
        if _wants_json(arguments):
            print(json.dumps({"schema": "lstm-step/1", "error": record}), file=sys.stderr)
            return
        print(f"error: {_indented(record['message'])}", file=sys.stderr)
        if record["where"]:
            print(f"where: {_indented(record['where'])}", file=sys.stderr)
        print(f"try:   {_indented(record['try'])}", file=sys.stderr)
    except OSError:
        pass  # stderr is closed: the exit code still tells


def _indented(text: str) -> str:
    """Return text whose further lines stand under its first, so that a caret points right."""
    return "\n".join(safe(line) for line in text.split("\n")).replace("\n", "\n       ")


def _wants_json(arguments: list[str]) -> bool:
    return any(
        word == "--json"
        or word in ("--format=json", "--format=jsonl", "-fjson", "-fjsonl")
        or (word in ("-f", "--format") and following in ("json", "jsonl"))
        for word, following in zip(arguments, [*arguments[1:], ""], strict=True)
    )


def _silence_stdout() -> None:
    """Point stdout at nothing, so that closing it at exit cannot fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
