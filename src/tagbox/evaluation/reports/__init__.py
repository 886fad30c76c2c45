"""Reports of an evaluation: a table for spreadsheets, and pages with verdicts, plots and audio players."""
