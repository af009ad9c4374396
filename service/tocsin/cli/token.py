"""`tocsin token`: who may read, and who may act. What is done here is in the audit trail of each region."""

import getpass
import time
from pathlib import Path
from typing import Annotated, Final

import typer

from tocsin.cli import output
from tocsin.engines.audit import Deed
from tocsin.engines.opening import audit_tokens
from tocsin.engines.tokens import Scope, Token, TokenFile
from tocsin.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Tokens of the REST interface.")

SECONDS_PER_DAY: Final = 86_400
DAYS_MAX: Final = 36_500
OVERLAP_HOURS: Final = 24
OVERLAP_HOURS_MAX: Final = 8_760


@app.command()
def create(
    scope: Annotated[Scope, typer.Option(help="What it is good for; each includes those before it.")] = Scope.READ,
    name: Annotated[str, typer.Option(help="Whose it is, or what for: shown in lists and logs.")] = "unnamed",
    days: Annotated[
        int | None, typer.Option(min=1, max=DAYS_MAX, help="How long it is good; left out, for good.")
    ] = None,
    service: Annotated[
        list[str] | None,
        typer.Option(help="The id of a service that it is good for; several times for several. Left out: all."),
    ] = None,
    as_json: output.AsJson = False,
) -> None:
    """Make a token and show it, this once: only its hash is kept."""
    now_us = _now_us()
    expires_us = None if days is None else now_us + days * SECONDS_PER_DAY * 1_000_000
    services = tuple(dict.fromkeys(service or ()))
    settings = Settings.load()
    try:
        token, text = _tokens(settings).create(name, scope, now_us=now_us, expires_us=expires_us, services=services)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--name") from error
    audit_tokens(settings, Deed.TOKEN_CREATED, getpass.getuser(), token)
    _show_new(token, text, now_us, as_json=as_json)


@app.command()
def rotate(
    id: Annotated[str, typer.Argument(help="Of the token to replace, as `tocsin token ls` shows it.")],
    overlap_hours: Annotated[
        int, typer.Option(min=0, max=OVERLAP_HOURS_MAX, help="How long the old one is good yet.")
    ] = OVERLAP_HOURS,
    as_json: output.AsJson = False,
) -> None:
    """Make a token like this one and show it, this once; the old one ends after the overlap, so that whoever uses it
    can change over. Status 1 when there is no valid one of this id.
    """
    now_us, settings = _now_us(), Settings.load()
    made = _tokens(settings).rotate(id, now_us=now_us, overlap_us=overlap_hours * 3_600_000_000)
    if made is None:
        raise _no_valid(id)
    token, text = made
    audit_tokens(settings, Deed.TOKEN_ROTATED, getpass.getuser(), token, old_id=id, overlap_hours=overlap_hours)
    output.note(f"token {id} ends in {output.counted(overlap_hours, 'hour')}")
    _show_new(token, text, now_us, as_json=as_json)


@app.command("ls")
def list_tokens(as_json: output.AsJson = False) -> None:
    """List the tokens, ended ones too, oldest first."""
    now_us = _now_us()
    output.show_list(
        [_shown(token, now_us) for token in _tokens(Settings.load()).ls()],
        {
            "id": lambda row: row["id"],
            "name": lambda row: row["name"],
            "scope": lambda row: row["scope"],
            "services": lambda row: ", ".join(row["services"]) or "all",
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
    settings = Settings.load()
    tokens = _tokens(settings)
    known = {token.id: token for token in tokens.ls() if token.is_valid(_now_us())}
    if id not in known:
        raise _no_valid(id)
    deed = f"end token {id} ({known[id].name}, scope {known[id].scope}); whoever uses it is refused from then on"
    output.confirm(deed, undo="it cannot be undone; `tocsin token create` makes a new one", yes=yes)
    is_ended = tokens.revoke(id, now_us=_now_us())
    if is_ended:
        audit_tokens(settings, Deed.TOKEN_REVOKED, getpass.getuser(), known[id])
    if as_json:
        output.show_json({"id": id, "revoked": is_ended})
    else:
        typer.echo(f"token {id} is ended" if is_ended else f"token {id} was ended by somebody else meanwhile")


def _tokens(settings: Settings) -> TokenFile:
    path: Path = settings.path(settings.token_file)
    return TokenFile(path)


def _no_valid(id: str) -> typer.Exit:
    output.note(f"no valid token has the id {output.clean(id[:80])!r}: `tocsin token ls` shows all")
    return typer.Exit(output.Status.DEVIATED)


def _show_new(token: Token, text: str, now_us: int, *, as_json: bool) -> None:
    if as_json:
        output.show_json({"token": text, **_shown(token, now_us)})
        return
    typer.echo(text)
    scope = f"scope {token.scope}" + (f", services {', '.join(token.services)}" if token.services else "")
    output.note(f"token {token.id}, {scope}; it is not shown again. To end it: tocsin token revoke {token.id}")


def _shown(token: Token, now_us: int) -> dict[str, object]:
    state = "valid" if token.is_valid(now_us) else "expired" if token.revoked_us is None else "revoked"
    return {
        "id": token.id,
        "name": token.name,
        "scope": token.scope.value,
        "services": list(token.services),
        "state": state,
        "created": output.utc(token.created_us / 1e6),
        "expires": None if token.expires_us is None else output.utc(token.expires_us / 1e6),
    }


def _now_us() -> int:
    return time.time_ns() // 1000
