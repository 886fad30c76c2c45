"""The web page: the package's functions behind a form, for people who do not use a command line."""
