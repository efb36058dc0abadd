"""Print how many lines and files each room of the package has: `python benchmarks/lines.py`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent / "lstm_cli"


def main() -> None:
    lines, files = Counter[str](), Counter[str]()
    for path in sorted(ROOT.rglob("*.py")):
        inner = path.relative_to(ROOT).parts
        room = inner[0] if len(inner) > 1 else "(top)"
        room = f"commands/{inner[1]}" if room == "commands" and len(inner) > 2 else room
        lines[room] += len(path.read_text(encoding="utf-8").splitlines())
        files[room] += 1
    for room in sorted(lines):
        print(f"{room:20} {lines[room]:7,} lines {files[room]:4} files")
    print(f"{'all':20} {lines.total():7,} lines {files.total():4} files")


if __name__ == "__main__":
    main()
