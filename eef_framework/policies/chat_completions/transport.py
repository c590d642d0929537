"""HTTP transport: proxies and certificates from the environment."""

from __future__ import annotations

import ipaddress
import os
import ssl
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from eef_framework.errors import ConfigError

CERTIFICATES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Environment variables that name a file of certificates, the first that is set counts."""

_PROXIES = ("http", "https", "socks5", "socks5h")


def check_transport() -> ssl.SSLContext | None:
    """Check the proxies and certificates of the environment variables, and return the certificates, if any are named.

    Raises:
        ConfigError: the address of a proxy is invalid, or a file of certificates is missing or contains none.
    """
    for scheme in ("http", "https", "all"):
        url = getproxies().get(scheme)
        if not url:
            continue
        variable = next((n for n in os.environ if n.lower() == f"{scheme}_proxy"), f"{scheme.upper()}_PROXY")
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            usable = parts.scheme in _PROXIES and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            usable = False
        if not usable:
            raise ConfigError(
                f"the environment variable {variable} isn't the address of a proxy",  # which may hold a password
                f"Write it such as http://proxy:3128, or unset {variable}.",
                code="bad-proxy",
                variable=variable,
            )
    return certificates(tuple(os.environ.get(variable, "") for variable in (*CERTIFICATES, "SSL_CERT_DIR")))


def client_arguments(base_url: str) -> dict[str, Any]:
    """Return the arguments of an HTTP client for a server.

    Raises:
        ConfigError: the environment's proxies or certificates can't be used.
    """
    context = check_transport()
    arguments: dict[str, Any] = {"follow_redirects": True}
    host = urlsplit(base_url).hostname or ""
    if _is_this_machine(host):
        # No proxy for localhost: the proxy would look for the server on its own machine.
        arguments["mounts"] = {f"all://[{host}]" if ":" in host else f"all://{host}": None}
    if context is not None:
        arguments["verify"] = context
    return arguments


@lru_cache(maxsize=4)
def certificates(values: tuple[str, ...]) -> ssl.SSLContext | None:
    """Return the certificates that environment variables name; None where none of them is set.

    Args:
        values: of the variables in `CERTIFICATES`, then that of `SSL_CERT_DIR`.

    Raises:
        ConfigError: they can't be read.
    """
    *files, folder = values
    named = {variable: value for variable, value in zip(CERTIFICATES, files, strict=True) if value}
    if not named and not folder:
        return None
    variable, path = next(iter(named.items()), ("SSL_CERT_DIR", ""))
    try:
        # REQUESTS_CA_BUNDLE may name a folder, too.
        in_folder = os.path.isdir(path)
        context = ssl.create_default_context(
            cafile=None if in_folder else path or None, capath=path if in_folder else None
        )
        if folder and not path:
            context.load_verify_locations(capath=folder)
        return context
    except OSError as cause:  # ssl.SSLError is one
        raise ConfigError(
            f"the environment variable {variable} names {path or folder!r}, where no certificates can be read: "
            f"{cause.strerror or cause}",
            f"Name a file of certificates in PEM form, or unset {variable}.",
            code="bad-certificates",
            variable=variable,
            path=path or folder,
        ) from cause


def _is_this_machine(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return False
    return found.is_loopback or found.is_unspecified
