"""Music from notes: scores, FluidSynth, and data sets with known stems."""
