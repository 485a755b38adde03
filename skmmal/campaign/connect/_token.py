"""The token: taken from the environment, kept in memory, never written or shown."""

from __future__ import annotations

import base64
import binascii
import json
import os
import time

__all__ = ["VARIABLE", "Token"]

VARIABLE = "LABEL_STUDIO_API_KEY"
"""Environment variable that holds the token; Label Studio's own SDK reads the same one."""
_EARLY = 20.0
"""Seconds before its end at which an access token is no longer used."""


class Token:
    """A legacy token, or a personal one, which is exchanged for an access token of a few minutes.

    Parameters
    ----------
    secret : str
        As Label Studio shows it. A personal token is a JWT: three parts with dots between them.
    """

    def __init__(self, secret: str) -> None:
        if not secret or not secret.isascii() or any(letter.isspace() for letter in secret):
            raise ValueError(f"{VARIABLE} holds no token: it is empty, or has blanks or line breaks in it")
        self._secret = secret
        self._access, self._until = "", 0.0

    @classmethod
    def from_environment(cls) -> Token:
        """Take the token from the environment variable `VARIABLE`."""
        secret = os.environ.get(VARIABLE, "").strip()
        if not secret:
            raise ValueError(
                f"the environment variable {VARIABLE} is not set: it holds the token of a Label Studio user (in the "
                "browser: the user's picture at the top right, Account & Settings, Personal Access Token), for "
                f"example by: read -rs {VARIABLE} && export {VARIABLE}"
            )
        return cls(secret)

    def __repr__(self) -> str:
        return f"Token({'personal' if self.is_personal else 'legacy'})"

    @property
    def is_personal(self) -> bool:
        """Whether it has to be exchanged for an access token."""
        return self._secret.count(".") == 2

    @property
    def is_stale(self) -> bool:
        """Whether an access token is needed, and there is none that lasts."""
        return self.is_personal and time.time() > self._until - _EARLY

    @property
    def exchange(self) -> dict[str, str]:
        """What `/api/token/refresh` takes."""
        return {"refresh": self._secret}

    def renew(self, access: str) -> None:
        """Take a new access token; it says itself how long it lasts."""
        self._access, self._until = access, _end_of(access)

    def expire(self) -> None:
        """Take the access token for worthless: the server has refused it."""
        self._until = 0.0

    @property
    def header(self) -> str:
        """Value of the header ``Authorization``."""
        return f"Bearer {self._access}" if self.is_personal else f"Token {self._secret}"

    def hide(self, text: str) -> str:
        """The text without the token: servers repeat what they were sent."""
        for secret in (self._secret, self._access):
            if secret:
                text = text.replace(secret, "(token)")
        return text


def _end_of(access: str) -> float:
    """When an access token ends, in seconds since 1970; one that does not say so lasts five minutes."""
    try:
        content = access.split(".")[1]
        return float(json.loads(base64.urlsafe_b64decode(content + "=" * (-len(content) % 4)))["exp"])
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
        return time.time() + 300
