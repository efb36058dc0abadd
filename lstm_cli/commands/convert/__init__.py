"""`lstm-step convert`: weights in another layout or format."""
