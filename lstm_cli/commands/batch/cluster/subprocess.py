"""A task in a process of its own, which a worker starts by `python -m`.

Its samples run in one more process, so that one that kills it is found (`runners.Processes`).
"""

from __future__ import annotations

import pickle
import sys

from lstm_cli.base.errors import LstmStepError
from lstm_cli.commands.batch.cluster.messages import refused
from lstm_cli.commands.batch.cluster.tasks import TASKS, unpacked_work
from lstm_cli.commands.batch.runners import Processes


def main() -> None:
    """Run the task that stdin describes, and write its result to stdout."""
    name, packed, message = pickle.loads(sys.stdin.buffer.read())  # from the worker, our parent
    work = unpacked_work(packed)
    try:
        answer = TASKS[name](work, message, Processes(1, notes=work.notes))
    except LstmStepError as error:
        answer = refused(error)
    sys.stdout.buffer.write(pickle.dumps(answer))


if __name__ == "__main__":
    main()
