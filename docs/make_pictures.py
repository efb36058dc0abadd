"""Make the README's pictures: `python docs/make_pictures.py`, with Chromium and extra `browser`.

The circuit is written by the command itself; the page is photographed in a headless Chromium.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent / "pictures"
STEP = ["--h", "0,0.5,0.1,0.2,0.6", "--x", "-0.1,0.3,0.1,-0.25,0.1"]
CIRCUIT = [*STEP, "--theme", "auto", "--width", "17"]
# Fifty bits for the trained sample, in an order that has runs and changes.
BITS = "10110010111010001110101100100111010010110001101011"
PARITY = ["--x", ";".join(BITS), "-w", "samples/weights/parity.npz"]


def report(arguments: list[str], output: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "lstm_cli", "report", *arguments, "-o", str(output)],
        check=True, cwd=Path(__file__).parent.parent, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def photograph(page: Path, output: Path) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        tab = browser.new_page(viewport={"width": 1280, "height": 1130})
        tab.goto(page.as_uri())
        tab.locator("body[data-painted]").wait_for()
        tab.locator("#rows tr[data-symbol=c]").hover()
        tab.screenshot(path=output)
        browser.close()


def main() -> None:
    report(CIRCUIT, HERE / "cell.svg")
    report([*PARITY, "--width", "17"], HERE / "gates.svg")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        report([*PARITY, "--at", "23"], page)
        photograph(page, HERE / "page.png")


if __name__ == "__main__":
    main()
