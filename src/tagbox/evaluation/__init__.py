"""Measures that cannot be fooled by silence."""
