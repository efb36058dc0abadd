"""`lstm-step diagnose`: why two sets of numbers differ; `grade` marks many answers."""
