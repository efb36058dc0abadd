"""`lstm-step list`: what there is, with its sources."""
