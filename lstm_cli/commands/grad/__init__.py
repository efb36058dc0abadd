"""`lstm-step grad`: the backward step and every gradient of a run."""
