"""The web page: the package's own functions behind a form, for people without a command line."""
