"""Signatures of webhooks, after Standard Webhooks 1.0.0, and the secrets that they are made with.

The signed text is `{id}.{timestamp}.{body}`; the signature is HMAC-SHA256 in base64 after `v1,`. The id is the bundle's
and the same at each try, so that a receiver knows repeats by it.

No secret lies in the directory, which everybody reads: that of a method is derived from one key of the deployment, by
HMAC too. Whoever owns the method is shown it by `tocsin notify secret`.
"""

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Final

from tocsin.engines.errors import Misconfigured

KEY_BYTES: Final = 32
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - the word that all such secrets begin with


def load_key(path: Path) -> bytes:
    """The deployment's key, made where there is none, readable by its owner alone; raises `Misconfigured`."""
    try:
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            key = path.read_bytes()
        else:
            key = secrets.token_bytes(KEY_BYTES)
            with os.fdopen(handle, "wb") as file:
                file.write(key)
    except OSError as error:
        raise Misconfigured(f"{path}, the key that signs webhooks, cannot be used: {error.strerror}") from error
    if len(key) != KEY_BYTES:
        raise Misconfigured(f"{path} holds {len(key)} bytes, not a key of {KEY_BYTES}: put back the one of all regions")
    return key


def secret_of(key: bytes, user: str, method: str) -> bytes:
    """The secret of one contact method."""
    return hmac.digest(key, b"\0".join((b"webhook", user.encode(), method.encode())), hashlib.sha256)


def shown(secret: bytes) -> str:
    """A secret as receivers' libraries take it."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def headers(secret: bytes, id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """The three headers of a signed webhook."""
    signed = b"%b.%d.%b" % (id.encode(), timestamp_s, body)
    signature = base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
    return {"webhook-id": id, "webhook-timestamp": str(timestamp_s), "webhook-signature": f"v1,{signature}"}
