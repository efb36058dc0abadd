"""`lstm-step inspect`: what a weight file holds."""
