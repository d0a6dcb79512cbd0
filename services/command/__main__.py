"""`python -m services.command` is `handschlag`."""

from services.command.main import main

main()
