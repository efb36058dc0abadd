"""How much a test vector sees: every mistake is made on purpose, and some still pass.

`suites.vet_suite` runs the catalogue on samples with expected numbers; `causes` tells why a mistake
passes; `stronger.strengthen` makes short numbers that tell them all.
"""
