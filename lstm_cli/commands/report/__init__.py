"""`lstm-step report`: an HTML page or a picture of a run."""
