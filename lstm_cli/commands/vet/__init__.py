"""`lstm-step vet`: mutation testing of test vectors, and stronger vectors.

`suites.vet_suite` runs the catalogue of mistakes on samples with expected numbers, and tells why a
mistake passes; `vetting.strengthen` generates short numbers that catch them all.
"""
