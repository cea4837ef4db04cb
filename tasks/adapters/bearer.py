"""The token that DataStorage knows us by, read from its file at each request, so that a new one needs no restart."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import httpx

from models.errors import Transient


class Bearer(httpx.Auth):
    """Sends the token of a file; without a file none."""

    def __init__(self, token_file: str) -> None:
        self._file = token_file

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the token. Raises Transient when its file cannot be read."""
        if self._file:
            try:
                token = Path(self._file).read_text(encoding="ascii").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise Transient(f"audit.token_file={self._file} cannot be read: {type(error).__name__}") from error
            if not token:
                raise Transient(f"audit.token_file={self._file} is empty")
            request.headers["Authorization"] = f"Bearer {token}"
        yield request
