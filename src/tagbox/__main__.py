"""``python -m tagbox``."""

from tagbox.cli import main

main()
