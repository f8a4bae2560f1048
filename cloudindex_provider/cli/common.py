"""What every command shares: one sentence for an error, an exit code, and the state.

A command is a function of the parsed arguments that gives its exit code. Nothing here prints a traceback: its values
may be secrets.
"""

from __future__ import annotations

import functools
import getpass
import logging
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from airflow.sdk.exceptions import AirflowException

from cloudindex_provider.cli.output import out, own_output, visible
from cloudindex_provider.errors import ProviderError
from cloudindex_provider.hooks.state import open_state, preview_state
from cloudindex_provider.state.db.database import Database

__all__ = ["ERROR", "FINDINGS", "OK", "command", "preview", "state", "user"]

OK, FINDINGS, ERROR = 0, 1, 2
_STOPPED, _UNREAD = 130, 141  # as a shell says of what Ctrl-C or a closed pipe has ended
_CONTEXT = "_AIRFLOW_PROCESS_CONTEXT"
log = logging.getLogger(__name__)


def command(function: Callable[[Namespace], int]) -> Callable[[Namespace], None]:
    """The function as Airflow calls it: an exit code that isn't 0 becomes ``SystemExit``, an error one sentence."""

    @functools.wraps(function)
    def run(args: Namespace) -> None:
        with _server_context(), own_output():
            code = _guarded(function, args)
        if code != OK:
            raise SystemExit(code)

    return run


def _guarded(function: Callable[[Namespace], int], args: Namespace) -> int:
    try:
        code = function(args)
        out().flush()
        return code
    except (ProviderError, AirflowException) as error:
        return _fail(str(error))
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), out().fileno())
        return _UNREAD
    except KeyboardInterrupt:
        _fail("Stopped.")
        return _STOPPED
    except UnicodeEncodeError:
        return _fail("An argument holds bytes that are no text in this locale. Set LC_ALL=C.UTF-8, or your own.")
    except Exception as error:  # a person at a terminal gets a sentence, the log the rest
        log.debug("The command failed", exc_info=True)
        return _fail(f"Unexpected {type(error).__name__}. Run again with AIRFLOW__LOGGING__LOGGING_LEVEL=DEBUG.")


def _fail(sentence: str) -> int:
    sys.stderr.write("Error: " + visible(" ".join(sentence.split())) + "\n")
    return ERROR


@contextmanager
def _server_context() -> Iterator[None]:
    """Let connections be found in Airflow's metadata database, as `airflow connections test` does."""
    before = os.environ.get(_CONTEXT)
    os.environ[_CONTEXT] = "server"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_CONTEXT]
        else:
            os.environ[_CONTEXT] = before


@contextmanager
def state(args: Namespace, *, writes: bool = False, begins: bool = False) -> Iterator[Database]:
    """The state that the arguments or Airflow's configuration name, for reading alone unless something is to be done.

    :param writes: the command changes what is there
    :param begins: a new state is begun where there is none
    """
    where = {"state_url": args.state_url, "state_conn_id": args.state_conn_id}
    db = open_state(**where, must_exist=not begins, read_only=not (writes or begins))
    try:
        yield db
    finally:
        db.close()


def preview(args: Namespace) -> AbstractContextManager[Database]:
    """The state for looking at what would be done; an empty one for the time where there is none."""
    return preview_state(state_url=args.state_url, state_conn_id=args.state_conn_id)


def user() -> str:
    """Who is at the terminal, for the history."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's number without a name
        return f"uid {os.getuid()}"
