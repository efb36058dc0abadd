"""Keep frameworks out of the default run, and say at the end of a live one how near it came."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.oracle.compare import MARGINS


def pytest_configure(config: pytest.Config) -> None:
    """Let frameworks warn about themselves and each other; our own warnings stay errors."""
    if _asked_for(config):
        config.addinivalue_line("filterwarnings", "ignore")
        config.addinivalue_line("filterwarnings", "error:::lstm_cli")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import no test here, and so no framework, unless the run asks for this group."""
    return None if _asked_for(config) else True


def _asked_for(config: pytest.Config) -> bool:
    return "oracle" in config.option.markexpr.replace("not oracle", "")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the largest difference from each framework beside what is allowed."""
    if MARGINS:
        terminalreporter.section("largest differences from live frameworks")
    for (framework, allowed), (count, worst, what) in sorted(MARGINS.items()):
        terminalreporter.write_line(
            f"{framework:<44} {worst:.1e} of {allowed:.0e} allowed, {count:>4} arrays, at {what}"
        )
