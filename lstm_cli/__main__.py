"""`python -m lstm_cli` and `lstm-step`."""

import sys


def main() -> None:
    """Run the command, and exit with its code."""
    try:
        # Here: Ctrl-C while this is imported is no traceback either.
        from lstm_cli.commands._main import main as run

        run()
    except KeyboardInterrupt:
        if sys.stderr is not None:
            print("interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
