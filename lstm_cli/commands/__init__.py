"""The commands, a folder each, which holds all that no other command uses.

`_main` handles errors and signals, `_app` builds a command when it is asked for, `_declared`
declares options for Typer and for the quick reader, `_options` and `_inputs` have those that
commands share. Commands never import each other.
"""
