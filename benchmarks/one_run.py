"""One run by one of `peers.present`, alone in its process: `python -m benchmarks.one_run`.

Arguments: who, steps, samples, inputs, hidden units, type.
"""

from __future__ import annotations

import sys

from benchmarks.peers import Row, contender, make_case


def main() -> None:
    name, *sizes, dtype = sys.argv[1:]
    steps, samples, inputs, hidden = map(int, sizes)
    work = contender(name, make_case(Row(steps, samples, inputs, hidden, dtype)))
    if work is None:
        raise SystemExit(f"{name} has no {dtype}")
    work()


if __name__ == "__main__":
    main()
