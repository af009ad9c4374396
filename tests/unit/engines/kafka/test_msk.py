"""Who we are to Amazon MSK: signed here, by AWS's own library, without a network."""

import importlib
import sys

import pytest
from aiokafka.errors import AuthenticationFailedError

from tocsin.engines.errors import Misconfigured

pytest.importorskip("aws_msk_iam_sasl_signer", reason="the extra `aws` is not installed")


@pytest.fixture(autouse=True)
def _no_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")


async def test_a_token_is_signed_once_and_anew_before_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    from tocsin.engines.kafka import msk  # noqa: PLC0415 - only where the extra is installed

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "an example")
    provider = msk.TokenProvider("eu-central-1")
    first = await provider.token()
    assert len(first) > 100
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDANOTHER")
    assert await provider.token() == first
    monkeypatch.setattr(msk, "MARGIN_S", 3600.0)  # longer than a token lasts
    assert await provider.token() != first


async def test_a_process_without_an_identity_is_told_so() -> None:
    from tocsin.engines.kafka.msk import TokenProvider  # noqa: PLC0415

    with pytest.raises(AuthenticationFailedError, match="no AWS identity"):
        await TokenProvider("eu-central-1").token()


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aws_msk_iam_sasl_signer", None)
    monkeypatch.delitem(sys.modules, "tocsin.engines.kafka.msk", raising=False)
    with pytest.raises(Misconfigured, match=r"tocsin\[aws\]"):
        importlib.import_module("tocsin.engines.kafka.msk")
