"""The commands, one folder each, holding everything that no other command uses.

`_main` handles errors and signals, `_app` builds a command when it is needed, `_declared`
declares options for Typer and for the quick reader, `_options` and `_inputs` hold the shared
options. Commands never import each other.
"""
