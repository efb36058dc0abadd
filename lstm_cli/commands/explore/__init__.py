"""The step in the terminal: what is looked at and edited, how it is drawn, and the app of it."""
