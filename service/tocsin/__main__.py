"""`python -m tocsin`: the command line, also where no script was installed."""

from tocsin.cli.main import app

app(prog_name="tocsin")
