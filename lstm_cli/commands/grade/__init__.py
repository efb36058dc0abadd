"""`lstm-step grade`: many people's answers to one exercise, each held against the right run."""
