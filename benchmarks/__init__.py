"""What `lstm-step` costs, side by side with what else is installed: `python -m benchmarks`."""
