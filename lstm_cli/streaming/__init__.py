"""Runs that are too long to keep: computed and written in blocks of steps, in flat memory.

`blocks.LongRun(…).blocks()` yields traces of a few thousand steps, each of which starts from the
states in which the one before ended; `output.pieces` makes a file of them as they come, the same
as of a whole run. `stopping` hears Ctrl-C between blocks.
"""
