"""The gallery: the original page's examples, by their own settings, on audio that is free."""
