"""How much a test vector sees: every mistake is made on purpose, and some still pass.

`vet_suite` runs the catalogue on samples with expected numbers; `causes` tells why a mistake
passes; `strengthen` makes short numbers that tell them all.
"""

from lstm_cli.vetting.stronger import Stronger, strengthen
from lstm_cli.vetting.subjects import MismatchError, Subject, read_subject
from lstm_cli.vetting.suites import Suite, SuiteCause, Verdict, vet_suite

__all__ = [
    "MismatchError",
    "Stronger",
    "Subject",
    "Suite",
    "SuiteCause",
    "Verdict",
    "read_subject",
    "strengthen",
    "vet_suite",
]
