"""Training a generator on one's own recordings, with the published losses."""
