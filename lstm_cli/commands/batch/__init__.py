"""`lstm-step batch`: many samples, read in chunks, run as blocks of one shape, answered in order.

`work` evaluates a chunk, here, in a process of `runners` or on a `cluster`; a `store` keeps what is
answered: a file and its journal, or the folder of parts that `tasks` write.
"""
