"""Reading some of botocore's answers before its own parser does, where that costs more than all the rest.

Reads what a call through ``OwnParsing.of`` asked for, in its own thread: other calls, other threads' calls and other
clients never notice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["OwnParsing"]

_registering = threading.Lock()


class OwnParsing(threading.local):
    """One operation's handler.

    :param operation: as botocore names it, such as ``ListObjectsV2``
    :param read: given botocore's response dict of a 200, to change, and the dict whose items the answer gets
    """

    def __init__(self, operation: str, read: Callable[[dict[str, Any], dict[str, Any]], None]) -> None:
        self._operation = operation
        self._read = read
        self._wanted = False  # this thread's call is one of ours

    def of(self, client: Any, send: Callable[..., Mapping[str, Any]]) -> Callable[..., Mapping[str, Any]]:
        """``send``, a method of the client, whose answers are read so."""
        events = getattr(getattr(client, "meta", None), "events", None)
        if events is None:  # a stand-in for a client
            return send
        with _registering:
            # The ``*`` makes ours run before botocore's own handlers, which are bound to before-parse.s3.*; the id lets
            # it be there at most once a client.
            event = f"before-parse.*.{self._operation}"
            events.register_first(event, self._before_parse, unique_id=f"cloudindex-{self._operation}")

        def ask(**request: Any) -> Mapping[str, Any]:
            self._wanted = True
            try:
                return send(**request)
            finally:
                self._wanted = False

        return ask

    def _before_parse(self, response_dict: Any, customized_response_dict: dict[str, Any], **_: Any) -> None:
        if self._wanted and response_dict.get("status_code") == 200:
            self._read(response_dict, customized_response_dict)
