"""`python -m lstm_cli` is `lstm-step`."""

from lstm_cli.cli import main

if __name__ == "__main__":
    main()
