"""`lstm-step vet`: which mistakes a test vector cannot see, and a stronger one.

`suites.vet_suite` runs the catalogue on samples with expected numbers; `causes` tells why a mistake
passes; `stronger.strengthen` makes short numbers that tell them all.
"""
