"""What stands between this machine and the service, as a connection's extras and the environment say.

Brings ``tls`` and ``proxy`` together for one base URL, and looks only at what its connections will need.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field

from cloudindex_provider.api.proxy import Route, find_route
from cloudindex_provider.api.tls import Certificate, read_trust, tls_context

__all__ = ["Network"]


@dataclass(frozen=True, slots=True)
class Network:
    """The extras about the way.

    :param verify: the path of certificates to trust, or whether any are checked at all
    :param certificate: the client's own
    :param proxy: its URL; without one, the environment's
    :param trust_env: whether the environment's proxies and certificates count
    """

    verify: bool | str = True
    certificate: Certificate | None = field(default=None, repr=False)
    proxy: str | None = field(default=None, repr=False)
    trust_env: bool = True

    def route(self, base_url: str) -> Route | None:
        """The proxy to take; ``None``: straight there.

        :raises ConfigurationError: naming the extra or the variable that can't be used
        """
        return find_route(base_url, self.proxy, trust_env=self.trust_env, environ=os.environ)

    def secrets(self, base_url: str) -> tuple[str, ...]:
        """The passwords that are used on the way, for whoever keeps them out of logs."""
        route = self.route(base_url)
        password = self.certificate.password if self.certificate is not None else None
        return (*(route.secrets if route is not None else ()), *((password,) if password else ()))

    def tls(self, url: str, *, to_proxy: bool = False) -> ssl.SSLContext:
        """The context of connections to ``url``.

        :param to_proxy: it is a proxy's, which is trusted like the service, and isn't shown the client's certificate
        :raises ConfigurationError: naming the extra or the variable whose files can't be used
        """
        if not url.startswith("https:"):  # files that no connection needs aren't looked at
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trust = read_trust(self.verify, trust_env=self.trust_env, environ=os.environ)
        return tls_context(trust, None if to_proxy else self.certificate)
