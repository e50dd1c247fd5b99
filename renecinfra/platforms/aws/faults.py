"""What AWS refuses, as errors that say what to do. One place knows AWS's many words for the same thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from renecinfra.errors import RenecError, ToolError

_EXPIRED: Final = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "RequestExpired",
        "TokenRefreshRequired",
        "UnauthorizedSSOTokenError",
    }
)
_INVALID: Final = frozenset(
    {
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "SignatureDoesNotMatch",
        "AuthFailure",
        "InvalidAccessKeyId",
        "InvalidToken",
        "IncompleteSignature",
    }
)
_DENIED: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "UnauthorizedOperation",
        "AuthorizationError",
        "403",
        "Forbidden",
    }
)
_THROTTLED: Final = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestLimitExceeded",
        "TooManyRequestsException",
        "RequestThrottled",
        "SlowDown",
        "BandwidthLimitExceeded",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
    }
)
_LOGIN: Final = "log in again: `aws sso login`, or whatever gives you AWS credentials"
_NO_CREDENTIALS: Final = frozenset(
    {
        "NoCredentialsError",
        "PartialCredentialsError",
        "CredentialRetrievalError",
        "ProfileNotFound",
        "NoAuthTokenError",
        "TokenRetrievalError",
    }
)
_SSO: Final = frozenset({"UnauthorizedSSOTokenError", "SSOTokenLoadError", "SSOError"})
_UNREACHABLE: Final = frozenset(
    {
        "EndpointConnectionError",
        "ConnectTimeoutError",
        "ReadTimeoutError",
        "ConnectionClosedError",
        "ProxyConnectionError",
        "SSLError",
        "ConnectionError",
        "HTTPClientError",
        "ResponseParserError",
    }
)


def code_of(error: BaseException) -> str:
    """AWS's own code of an error, or the name of botocore's."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):
        return str(response.get("Error", {}).get("Code", ""))
    return type(error).__name__


def refusal(error: BaseException, doing: str) -> RenecError:
    """The error to raise for one of botocore's, while ``doing`` something."""
    code, text = code_of(error), _message(error)
    details = (text,) if text else ()
    for codes, make in _KINDS:
        if code in codes:
            return make(doing, code, details)
    return ToolError(
        "aws-refused",
        f"{doing}: AWS refuses it ({code})",
        hint="see what it says; nothing was changed by this call",
        details=details,
    )


_Details = tuple[str, ...]


def _expired(doing: str, _code: str, _details: _Details) -> RenecError:
    return ToolError("aws-credentials-expired", f"{doing}: the AWS credentials have expired", hint=_LOGIN)


def _invalid(doing: str, code: str, _details: _Details) -> RenecError:
    message = f"{doing}: AWS does not know these credentials ({code})"
    return ToolError("aws-credentials-invalid", message, hint=_LOGIN)


def _missing(doing: str, _code: str, details: _Details) -> RenecError:
    message = f"{doing}: there are no AWS credentials"
    return ToolError("aws-credentials-missing", message, hint=_LOGIN, details=details)


def _denied(doing: str, _code: str, details: _Details) -> RenecError:
    hint = "use a role that may do this; docs/guide/aws.md lists what it takes"
    return ToolError("aws-access-denied", f"{doing}: AWS denies it", hint=hint, details=details)


def _throttled(doing: str, code: str, _details: _Details) -> RenecError:
    return ToolError(
        "aws-throttled",
        f"{doing}: AWS is asked too often ({code}), also after several tries",
        hint="wait a minute and run the command again; it goes on from here",
    )


def _unreachable(doing: str, _code: str, details: _Details) -> RenecError:
    hint = "look at the network, a proxy, and platform.endpoint_url"
    return ToolError("aws-unreachable", f"{doing}: AWS cannot be reached", hint=hint, details=details)


_KINDS: Final[tuple[tuple[frozenset[str], Callable[[str, str, _Details], RenecError]], ...]] = (
    (_EXPIRED | _SSO, _expired),
    (_INVALID, _invalid),
    (_NO_CREDENTIALS, _missing),
    (_DENIED, _denied),
    (_THROTTLED, _throttled),
    (_UNREACHABLE, _unreachable),
)


@contextmanager
def told(doing: str) -> Iterator[None]:
    """Turn what botocore raises within the block into errors of ours; ``doing`` begins their message."""
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
    from botocore.parsers import ResponseParserError  # a page of a proxy in the place of an answer

    try:
        yield
    except (ClientError, BotoCoreError, HTTPClientError, ResponseParserError) as error:
        raise refusal(error, doing) from error


def _message(error: BaseException) -> str:
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):
        return " ".join(str(response.get("Error", {}).get("Message", "")).split())
    return " ".join(str(error).split())
