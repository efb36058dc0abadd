"""`lstm-step vet`: mutation testing of test vectors, and stronger vectors.

`suites.vet_suite` runs the catalogue of mistakes on samples with expected numbers; `causes`
explains why a mistake passes; `stronger.strengthen` generates short numbers that catch them all.
"""
