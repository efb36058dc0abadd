"""The entry point: `main` handles errors and signals, `app` holds the commands."""

from __future__ import annotations

import atexit
import contextlib
import errno
import gc
import os
import sys
from typing import Any

from lstm_cli.base.errors import ExitCode, LstmStepError, OutputError, ignore_warnings
from lstm_cli.base.foreign import indented, shell_word
from lstm_cli.base.version import __version__

# Set by a shell when it asks Typer for completions.
COMPLETION = "_LSTM_STEP_COMPLETE"
# Arguments that are answered at once.
VERSION, HELP = ("--version", "-V"), ("--help", "-h")
# Startup creates about this many objects, nearly all of which live until exit.
OBJECTS_OF_A_START = 100_000


def main(arguments: list[str] | None = None) -> None:
    """Run `lstm-step` and exit with its code."""
    arguments = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    # Garbage collection over all modules, for every 700 new objects and again at exit, takes a
    # tenth of a short run and finds nothing.
    gc.set_threshold(OBJECTS_OF_A_START)
    atexit.register(gc.freeze)
    ignore_warnings()
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell: `>&-`
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - stays open
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if _is_front(arguments):  # nothing heavy imported here, and nothing to clean up
        sys.exit(_guarded(arguments))
    import signal  # not at the top: `--help` does not need it

    from lstm_cli.commands._stopping import Stopping, exit_code

    with Stopping(at_once=True):
        code = exit_code(_guarded(arguments))
    if code == ExitCode.INTERRUPTED and hasattr(signal, "pthread_sigmask"):
        # Python would send this process SIGINT at exit (see `_stopping.Ended`).
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    sys.exit(code)


def _guarded(arguments: list[str]) -> int:
    """Run the program and return its exit code; errors are reported on stderr in three lines."""
    try:
        code = program(arguments)
        _flush()
        return code
    except LstmStepError as error:
        if isinstance(error, OutputError) and error.lines.where == "stdout":
            _silence_stdout()  # do not try to write it again at exit
        return _report(error.code, *error.lines, arguments, error.exit_code)
    except BrokenPipeError:
        _silence_stdout()  # the reader closed the pipe (`| head`): not an error
        return ExitCode.DONE
    except SystemExit as leave:
        # Typer and rich exit with 1 when the reader has gone.
        if not isinstance(leave.__context__, BrokenPipeError):
            raise
        _silence_stdout()
        return ExitCode.DONE
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):  # stderr may have gone with the terminal
            print("interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED
    except MemoryError as error:
        # Releases what the run held, so that there is memory to report the error.
        error.__traceback__ = error.__context__ = None
        hint = "run fewer steps or samples at a time"
        return _report("too_large", "not enough memory", "", hint, arguments, ExitCode.INPUT)
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            _silence_stdout()
            what, hint = "cannot write: no space left on device", "make room, or write elsewhere"
            return _report("cannot_write", what, "stdout", hint, arguments, ExitCode.CANNOT_WRITE)
        if os.environ.get("LSTM_STEP_DEBUG"):
            raise
        what, where = f"this is a bug: {type(error).__name__}: {error}", _command(arguments, 300)
        hint = "LSTM_STEP_DEBUG=1 shows where; please report it"
        return _report("bug", what, where, hint, arguments, ExitCode.BUG)


def program(arguments: list[str]) -> int:
    """Run the command line without handling our own errors; return the exit code."""
    if _is_front(arguments):  # answered before anything heavy is imported
        if arguments[0] in VERSION:
            print(f"lstm-step {__version__}")
            return ExitCode.DONE
        from lstm_cli.commands import _front as front

        print(front.page())
        return ExitCode.DONE
    from lstm_cli.files.inputs_read import noting_reads

    with noting_reads():
        if COMPLETION not in os.environ and (code := _plain_run(arguments)) is not None:
            return code
        return _by_typer(arguments)


def _is_front(arguments: list[str]) -> bool:
    return COMPLETION not in os.environ and len(arguments) == 1 and arguments[0] in VERSION + HELP


def _plain_run(arguments: list[str]) -> int | None:
    """Run `run` if its arguments are plain and return the exit code; None leaves them to Typer."""
    if not arguments[0].startswith("-") and arguments[0] != "run":
        return None
    from lstm_cli.commands import _declared as declared
    from lstm_cli.commands.run.command import run

    given = declared.read(run, arguments[arguments[0] == "run" :])
    return None if given is None else _stopped(declared.call(run, given))


def _by_typer(arguments: list[str]) -> int:
    """Parse and run the command line with Typer; return the exit code."""
    import typer

    from lstm_cli.commands._app import app

    usage_error: Any = typer.BadParameter.__base__
    try:
        result = typer.main.get_command(app).main(
            arguments, prog_name="lstm-step", standalone_mode=False
        )
    except usage_error as error:
        command = error.ctx.command_path if error.ctx else "lstm-step"
        from lstm_cli.commands._hints import usage_hint  # errors alone need it

        what, hint = usage_hint(error.format_message(), command, arguments)
        return _report("usage", what, command, hint, arguments, ExitCode.USAGE)
    except typer.Exit as leave:
        return leave.exit_code
    except typer.Abort:
        raise KeyboardInterrupt from None
    return _stopped(result)


def _stopped(result: object) -> int:
    """Return a command's exit code; raise KeyboardInterrupt if it was stopped."""
    if result == ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    return result if isinstance(result, int) else ExitCode.DONE


def _flush() -> None:
    """Flush stdout while a failure, such as a full disk, can still be reported."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(
            f"cannot write: {(error.strerror or str(error)).lower()}",
            where="stdout",
            hint="make room, or write elsewhere",
        ) from None


def _report(
    code: str, what: str, where: str, hint: str, arguments: list[str], exit_code: int
) -> int:
    """Write an error to stderr: as JSON if JSON was requested, else in three lines."""
    where = where or _command(arguments, 80)
    try:
        if _wants_json(arguments):
            import json

            record = {"code": code, "message": what, "where": where, "try": hint}
            print(json.dumps({"schema": "lstm-step/1", "error": record}), file=sys.stderr)
        else:
            lines = f"error: {indented(what)}\nwhere: {indented(where)}\ntry:   {indented(hint)}"
            print(lines, file=sys.stderr)
    except OSError:
        pass  # stderr is closed: the exit code still reports it
    return exit_code


def _command(arguments: list[str], width: int) -> str:
    """Return the given command line, quoted for pasting and cut to the width."""
    shown = "lstm-step"
    for word in map(shell_word, arguments):
        if len(shown) + 1 + len(word) > width:
            return f"{shown} …"
        shown += f" {word}"
    return shown


def _wants_json(arguments: list[str]) -> bool:
    return any(
        word == "--json"
        or word in ("--format=json", "--format=jsonl", "-fjson", "-fjsonl")
        or (word in ("-f", "--format") and following in ("json", "jsonl"))
        for word, following in zip(arguments, [*arguments[1:], ""], strict=True)
    )


def _silence_stdout() -> None:
    """Redirect stdout to the null device, so that closing it at exit cannot fail again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
