"""`lstm-step list`: cells, presets, conventions, formats, mistakes and more, with sources."""
