"""`tocsin token`: who may read."""

import time
from pathlib import Path
from typing import Annotated, Final

import typer

from tocsin.cli import output
from tocsin.engines.tokens import Scope, Token, TokenFile
from tocsin.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Tokens of the read interface.")

SECONDS_PER_DAY: Final = 86_400
DAYS_MAX: Final = 36_500


@app.command()
def create(
    scope: Annotated[Scope, typer.Option(help="What it is good for; each includes those before it.")] = Scope.READ,
    name: Annotated[str, typer.Option(help="Whose it is, or what for: shown in lists and logs.")] = "unnamed",
    days: Annotated[
        int | None, typer.Option(min=1, max=DAYS_MAX, help="How long it is good; left out, for good.")
    ] = None,
    as_json: output.AsJson = False,
) -> None:
    """Make a token and show it, this once: only its hash is kept."""
    now_us = _now_us()
    expires_us = None if days is None else now_us + days * SECONDS_PER_DAY * 1_000_000
    try:
        token, text = _tokens().create(name, scope, now_us=now_us, expires_us=expires_us)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--name") from error
    if as_json:
        output.show_json({"token": text, **_shown(token, now_us)})
    else:
        typer.echo(text)
        output.note(
            f"token {token.id}, scope {scope}; it is not shown again. To end it: tocsin token revoke {token.id}"
        )


@app.command("ls")
def list_tokens(as_json: output.AsJson = False) -> None:
    """List the tokens, ended ones too, oldest first."""
    now_us = _now_us()
    output.show_list(
        [_shown(token, now_us) for token in _tokens().ls()],
        {
            "id": lambda row: row["id"],
            "name": lambda row: row["name"],
            "scope": lambda row: row["scope"],
            "state": lambda row: row["state"],
            "created": lambda row: row["created"],
            "expires": lambda row: row["expires"] or "never",
        },
        as_json=as_json,
        empty="no tokens: `tocsin token create` makes one",
    )


@app.command()
def revoke(
    id: Annotated[str, typer.Argument(help="As `tocsin token ls` shows it; not the token itself.")],
    yes: output.Yes = False,
    as_json: output.AsJson = False,
) -> None:
    """End a token for good; running queriers notice within a second. Status 1 when there is no valid one of this id."""
    tokens = _tokens()
    known = {token.id: token for token in tokens.ls() if token.is_valid(_now_us())}
    if id not in known:
        output.note(f"no valid token has the id {output.clean(id[:80])!r}: `tocsin token ls` shows all")
        raise typer.Exit(output.Status.DEVIATED)
    deed = f"end token {id} ({known[id].name}, scope {known[id].scope}); whoever uses it is refused from then on"
    output.confirm(deed, undo="it cannot be undone; `tocsin token create` makes a new one", yes=yes)
    is_ended = tokens.revoke(id, now_us=_now_us())
    if as_json:
        output.show_json({"id": id, "revoked": is_ended})
    else:
        typer.echo(f"token {id} is ended" if is_ended else f"token {id} was ended by somebody else meanwhile")


def _tokens() -> TokenFile:
    settings = Settings.load()
    path: Path = settings.path(settings.token_file)
    return TokenFile(path)


def _shown(token: Token, now_us: int) -> dict[str, object]:
    state = "valid" if token.is_valid(now_us) else "expired" if token.revoked_us is None else "revoked"
    return {
        "id": token.id,
        "name": token.name,
        "scope": token.scope.value,
        "state": state,
        "created": output.utc(token.created_us / 1e6),
        "expires": None if token.expires_us is None else output.utc(token.expires_us / 1e6),
    }


def _now_us() -> int:
    return time.time_ns() // 1000
