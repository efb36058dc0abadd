"""`python -m lstm_cli` is `lstm-step`."""

from lstm_cli.commands._main import main

if __name__ == "__main__":
    main()
