"""Render music from notes: scores, FluidSynth, and data sets whose stems are known."""
