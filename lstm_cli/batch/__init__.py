"""Many samples at once: read in chunks, run as blocks of one shape, answered in order."""
