"""Which addresses a webhook may lead to: those of the internet, not those behind the service's own firewall."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from urllib.parse import SplitResult, urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_UNICAST = ipaddress.ip_network("2000::/3")  # all that IANA gives out to the internet
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
REMEDY = "HPOSVC_WEBHOOKS_PRIVATE=true allows it, if whoever may add webhooks may reach the service's own network."


class ForbiddenAddress(ValueError):
    """The URL must not be called; the message says why and what to do."""


def check_url(url: str, *, private: bool) -> SplitResult:
    """The parts of ``url``. Raises ForbiddenAddress for what is wrong with it whatever its name resolves to."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ForbiddenAddress(f"not a URL: {error}") from None
    if not host or parts.scheme not in ("http", "https"):
        raise ForbiddenAddress("not a URL with a host, like https://example.org/hook")
    if port == 0:
        raise ForbiddenAddress("port 0 is no port")
    if parts.username is not None or parts.password is not None:
        raise ForbiddenAddress("a user or password in the URL would be kept readable: put a token into its path")
    if parts.scheme == "http" and not private:
        raise ForbiddenAddress("http can be read on the way: use https")
    try:
        host.encode("idna")
    except UnicodeError:
        raise ForbiddenAddress(f"{host[:100]!r} cannot be a host") from None
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        if not private and (host == "localhost" or host.endswith((".localhost", ".local", ".internal"))):
            raise ForbiddenAddress(f"{host} is on a private network. {REMEDY}") from None
        return parts
    _assert_public(literal, private)
    return parts


async def resolve(host: str, port: int, *, private: bool) -> str:
    """One address of ``host``, to be connected to as it is: looked up again, the name could have another address.

    Raises ForbiddenAddress if any of its addresses is private, OSError if it has none.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    for address in addresses:
        if not private and not is_public(ipaddress.ip_address(address.partition("%")[0])):
            # the address would tell how the service's own network is made
            raise ForbiddenAddress(f"{host} is not on the internet, as this service finds it. {REMEDY}")
    return addresses[0]


def _assert_public(address: Address, private: bool) -> None:
    if not private and not is_public(address):
        raise ForbiddenAddress(f"{address} is not an address of the internet. {REMEDY}")


def is_public(address: Address) -> bool:
    """Whether everybody on the internet could reach ``address``; what it carries of another address counts, too."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None and not is_public(inner):
            return False
        if address.ipv4_mapped or address in _NAT64:
            return True
        if address not in _UNICAST:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)
