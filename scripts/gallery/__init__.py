"""The gallery: the published demo page's examples, with its settings, on recordings that are free to use."""
