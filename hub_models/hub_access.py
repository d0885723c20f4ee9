"""Writing to the Hub: names that it takes, and its refusals in one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError
from huggingface_hub.utils import validate_repo_id

from ..inference.names import looks_like_path

# The HTTP client's own base class: huggingface_hub has changed its client between versions.
_HttpError: Any = HfHubHTTPError.__bases__[0]


def check_repo_id(repo_id: str, *, what: str = "model") -> None:
    """Refuse a name that is no ORG/NAME.

    Raises:
        ValueError: it is not.
    """
    if repo_id.count("/") != 1 or looks_like_path(repo_id):
        raise ValueError(f"a {what}'s name on the Hub is ORG/NAME, got {repo_id!r}")
    validate_repo_id(repo_id)  # raises HFValidationError, a ValueError


@contextmanager
def hub_errors(repo_id: str) -> Iterator[None]:
    """Say in one sentence why the Hub refused.

    Args:
        repo_id: what was to be written.

    Raises:
        PermissionError: no token, or one that may not write there.
        ConnectionError: the Hub cannot be reached.
    """
    try:
        yield
    except LocalTokenNotFoundError:
        raise PermissionError("no token for the Hub; log in with `hf auth login`, or set HF_TOKEN") from None
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status not in (401, 403):
            raise
        raise PermissionError(
            f"the Hub refused to write {repo_id} (HTTP {status}); log in with `hf auth login` with a token that may"
        ) from None
    except _HttpError as error:
        raise ConnectionError(
            f"the Hub cannot be reached ({type(error).__name__}: {error}); nothing was pushed"
        ) from None
