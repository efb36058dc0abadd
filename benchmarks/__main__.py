"""All benchmarks, side by side with whichever peers are installed: `python -m benchmarks`.

Each part runs in a process of its own, ours and peers with the same number of threads, and takes
turns (A B C A B C …). Tables go to stdout, progress to stderr, the record to
`benchmarks/results.json`. `--write` puts it all into the README and draws the picture of growth.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.table import Table as Shown

from benchmarks import picture, readme
from benchmarks.common import CLOCKS, RESULTS, ROOT, Record, Settings, environment
from benchmarks.tables import TABLES, Table
from benchmarks.words import measured

PARTS = ("kernel", "startup", "batch", "memory", "growth")
# Whole commands are measured as users start them: they see to the threads themselves.
AS_STARTED = ("startup",)
# A list of numbers stands in one line of the record.
NUMBERS = re.compile(r"\[\s+([^\[\]{}]*?)\s+\]")
BOLD = re.compile(r"\*\*(.*?)\*\*")


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    plain = Settings()
    parser.add_argument("--rounds", type=positive, default=plain.rounds, help="turns of each")
    parser.add_argument("--threads", type=positive, default=plain.threads, help="of everybody")
    parser.add_argument("--clock", choices=CLOCKS, default=plain.clock,
                        help="cpu: processor time, where the machine has other work")  # fmt: skip
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART",
                        help=", ".join(PARTS))  # fmt: skip
    parser.add_argument("--rows", type=int, nargs="+", default=(), metavar="ROW",
                        help="of the part's table, from 0; with one part")  # fmt: skip
    parser.add_argument("--small", action="store_true", help="tiny sizes, to try the tool itself")
    parser.add_argument("--results", type=Path, metavar="FILE",
                        help="of the record; --small and --rows else keep none")  # fmt: skip
    parser.add_argument("--write", action="store_true", help="then write README and picture")
    parser.add_argument("--show", action="store_true", help="measure nothing: the stored record")
    parser.add_argument("--markdown", action="store_true", help="likewise, as the README has it")
    return parser


def positive(text: str) -> int:
    if int(text) < 1:
        raise ValueError(text)
    return int(text)


def main(given: Sequence[str] | None = None) -> int:
    parser = arguments()
    asked = parser.parse_args(given)
    partial = asked.small or bool(asked.rows)
    if asked.rows and len(asked.only) != 1:
        parser.error("--rows chooses among the rows of one part: name it by --only")
    if partial and asked.write:
        parser.error("--write needs all rows at full size: drop --small and --rows")
    if asked.write and find_spec("matplotlib") is None:
        parser.error("--write draws a picture: pip install 'lstm-cli[pictures]'")
    path = asked.results or (None if partial else RESULTS)
    results = load(path)
    if asked.markdown:
        print(readme.markdown(results), end="")
        return 0
    failed = [] if asked.show else measure(asked, path, results)
    show({name: results[name] for name in asked.only if name in results and name not in failed})
    if asked.write and not failed:
        readme.write(results)
        if "growth" in results:
            picture.write(results["growth"])
    for name in failed:
        print(f"part {name} failed, as told above; its old record stays", file=sys.stderr)
    return int(bool(failed))


def measure(asked: argparse.Namespace, path: Path | None, results: Record) -> list[str]:
    """Run the parts that are asked for, each into the results; return those that failed."""
    settings = Settings(asked.rounds, asked.threads, asked.clock, tuple(asked.rows), asked.small)
    failed = []
    for name in asked.only:
        start = time.perf_counter()
        print(f"{name} …", file=sys.stderr, flush=True)
        record = run_part(name, settings)
        if record is None:
            failed.append(name)
            continue
        results[name] = record
        if path:  # part by part: what was measured is not lost
            path.write_text(as_text(results), encoding="utf-8")
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    return failed


def run_part(name: str, settings: Settings) -> Record | None:
    """Return the record of one part, measured in a process of its own; None if that failed."""
    command = [sys.executable, "-m", f"benchmarks.{name}", settings.as_text()]
    variables = None if name in AS_STARTED else environment(settings.threads)
    done = subprocess.run(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        return None
    record: Record = json.loads(done.stdout)
    return record


def load(path: Path | None) -> Record:
    """Return the stored record, by part; {} where there is none."""
    if path is None or not path.exists():
        return {}
    found: Record = json.loads(path.read_text(encoding="utf-8"))
    return found


def as_text(results: Record) -> str:
    """Return a record as JSON whose lists of numbers stand in a line each."""
    ordered = {name: results[name] for name in PARTS if name in results}
    text = json.dumps(ordered, indent=1, ensure_ascii=False)
    return NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n"


def show(results: Record) -> None:
    """Print tables and words for a terminal."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    told = ""
    for name, record in results.items():
        console.print(as_rich(TABLES[name](record)))
        about = measured(record["about"])
        for words in (*readme.TEXTS[name](record), *([about] if about != told else [])):
            console.print(BOLD.sub(r"\1", words), markup=False, highlight=False)
        console.print()
        told = about


def as_rich(table: Table) -> Shown:
    shown = Shown(title=table.title, title_justify="left", title_style="bold")
    for place, column in enumerate(table.columns):
        shown.add_column(column, justify="left" if place < table.numbers else "right")
    for row in table.rows:
        shown.add_row(*(BOLD.sub(r"[bold]\1[/bold]", cell) for cell in row))
    return shown


if __name__ == "__main__":
    sys.exit(main())
