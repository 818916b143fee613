"""What obstore leaves to its caller of the ways in which people configure S3: a file of keys, an address without TLS.

obstore reads the variables (``AWS_ACCESS_KEY_ID``, ``AWS_REGION``, …), and asks the machine for a role by itself. It
does not read the file that AWS's own tools keep keys in, and refuses an address without TLS.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
KEYS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")


class CredentialsError(OSError):
    """The file of credentials cannot be used; the message says which and why."""


def options(variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Arguments for obstore's S3 store, from the environment. Raises CredentialsError."""
    variables = os.environ if variables is None else variables
    found: dict[str, Any] = {}
    endpoint = next((variables[name] for name in ENDPOINTS if variables.get(name)), "")
    if endpoint.startswith("http://"):  # whoever wrote that wanted it
        found["client_options"] = {"allow_http": True}
    if not variables.get("AWS_ACCESS_KEY_ID") and (credentials := _shared_credentials(variables)):
        found["config"] = credentials
    return found


def _shared_credentials(variables: Mapping[str, str]) -> dict[str, str]:
    """The keys of the profile in the shared file of credentials; empty when there is no such file.

    Read anew each time: whoever replaces the file needs no restart.
    """
    named = variables.get("AWS_SHARED_CREDENTIALS_FILE")
    path = Path(named or "~/.aws/credentials").expanduser()
    profile = variables.get("AWS_PROFILE") or "default"
    parser = configparser.ConfigParser(interpolation=None)  # a key may hold a percent sign
    try:
        parser.read_string(path.read_text())
    except FileNotFoundError as error:
        if named:
            raise CredentialsError(f"AWS_SHARED_CREDENTIALS_FILE is {path}, which is not there") from error
        return {}
    except PermissionError as error:
        if named:
            raise CredentialsError(f"AWS_SHARED_CREDENTIALS_FILE is {path}, which cannot be read") from error
        return {}
    except (configparser.Error, UnicodeDecodeError) as error:
        line = getattr(error, "lineno", None)
        where = "" if line is None else f", at line {line}"
        raise CredentialsError(f"{path} is not a file of credentials{where}") from None  # the error quotes the line
    if profile not in parser:
        if named or variables.get("AWS_PROFILE"):
            raise CredentialsError(f"{path} has no profile [{profile}]")
        return {}
    section = parser[profile]
    missing = [key for key in KEYS[:2] if not section.get(key)]
    if missing:
        raise CredentialsError(f"the profile [{profile}] in {path} has no {' and no '.join(missing)}")
    return {key: section[key] for key in KEYS if section.get(key)}
