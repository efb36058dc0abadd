"""Runs that are too long to keep: computed and written in blocks, in flat memory.

`blocks.LongRun(…).blocks()` yields traces of a few thousand steps, each of which starts from the
states in which the one before ended; `output.pieces` makes a file of them as they come, the same
as of a whole run, and `npz.fill` an archive, at its places in the file. Many samples go in blocks
of steps to JSON, and one after another to npz, as they stand there. `stopping` hears Ctrl-C
between blocks.
"""
