"""Who we are to Amazon MSK: a token that AWS's own library signs with whatever identity this process has."""

import asyncio
import time
from typing import Final

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import AuthenticationFailedError, KafkaConnectionError

from tocsin.engines.errors import Misconfigured

try:
    from aws_msk_iam_sasl_signer import MSKAuthTokenProvider
    from botocore.exceptions import BotoCoreError, NoCredentialsError, PartialCredentialsError, ProfileNotFound
except ImportError as _error:
    raise Misconfigured(
        "a login to Kafka by AWS identity needs the packages of the extra `aws`: pip install 'tocsin[aws]'"
    ) from _error

MARGIN_S: Final = 60.0
"""A token is made anew this long before it ends."""
_NO_IDENTITY: Final = (
    *(NoCredentialsError, PartialCredentialsError, ProfileNotFound, ValueError),
    AttributeError,  # where botocore finds nothing at all, the signer asks None for its key
)


class TokenProvider(AbstractTokenProvider):  # type: ignore[misc]
    """Tokens for the brokers of one AWS region."""

    def __init__(self, aws_region: str) -> None:
        self._aws_region = aws_region
        self._token = ""
        self._ends_at = 0.0
        self._signing = asyncio.Lock()

    async def token(self) -> str:
        """A token that is good for a while.

        Raises aiokafka's AuthenticationFailedError when this process has no identity, its KafkaConnectionError when AWS
        gives no answer.
        """
        async with self._signing:
            if time.time() >= self._ends_at - MARGIN_S:
                try:
                    # The identity may have to be asked for over the network.
                    signed = await asyncio.to_thread(MSKAuthTokenProvider.generate_auth_token, self._aws_region)
                except _NO_IDENTITY as error:
                    raise AuthenticationFailedError(f"this process has no AWS identity ({error})") from error
                except BotoCoreError as error:
                    raise KafkaConnectionError(f"AWS gave no token: {error}") from error
                self._token, self._ends_at = signed[0], signed[1] / 1000
            return self._token
