"""`lstm-step report`: a page of a run, or a picture."""
