"""How data sets lie on disk; a new one is a file here and a line in `tagbox.evaluation.datasets.layouts`."""
