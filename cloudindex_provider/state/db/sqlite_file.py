"""The state's file, looked at before SQLite opens it: where it lies, whether it was emptied, and whether it is ours.

SQLite takes a file of no bytes for a new database (a cut one it refuses by itself). Such a state is lost: that is said,
and the first look at the project (``sync.repair.first_look``) makes it whole. Somebody else's file is refused before
SQLite could change it. Writes nothing but the missing folder.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from pathlib import Path

from sqlalchemy.engine import URL

from cloudindex_provider.errors import StateError

__all__ = [
    "DAMAGE_HINT",
    "MISSING_HINT",
    "RIGHTS_HINT",
    "file_system",
    "find_denial",
    "has_sqlite_file",
    "prepare_sqlite_file",
]

MISSING_HINT = "Run a sync first, or say where its state is: [cloudindex] state_path or state_conn_id."
DAMAGE_HINT = "Nothing was changed. Restore a backup of the file, or move it away to begin anew."
RIGHTS_HINT = (
    "Nothing was changed, and another try would fail alike. Let one user run all tasks, commands and the API server, or"
    " give the folder and its files to a group of theirs that may write."
)
# File systems on which SQLite's locks or its shared memory don't work between machines.
_NETWORK_FILE_SYSTEMS = {
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "beegfs",
    "fuse.s3fs", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.ceph-fuse", "fuse.rclone", "fuse.goofys",
    "fuse.gcsfuse", "fuse.blobfuse", "fuse.blobfuse2", "fuse.juicefs",
    "fuse",  # without a name of its own: Mountpoint for Amazon S3, and others of object stores
}  # fmt: skip
_MOUNTS = Path("/proc/self/mounts")
_log = logging.getLogger("cloudindex_provider.state")
_FIRST_OPENING = 60.0  # seconds; whoever opens a new file first has written its header long before


def prepare_sqlite_file(url: URL, *, must_exist: bool = False) -> None:
    """Make the file's folder, say where a state was emptied, and refuse a file that isn't a state's.

    :param must_exist: make nothing, and refuse what isn't there or was emptied
    :raises StateError: for no file, a network file system and a file of something else
    """
    if not url.database or url.database == ":memory:":
        raise StateError("The state can't be in memory: it must outlive the process.", hint="Give a file's path.")
    path = Path(url.database).absolute()
    if must_exist:
        _check_existing(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StateError(f"The state's folder {path.parent} can't be made: {error.strerror}.") from None
    kind = file_system(path.parent.resolve())
    if kind in _NETWORK_FILE_SYSTEMS:
        raise StateError(
            f"The state {path} lies on a network file system ({kind}), where SQLite's locks don't hold.",
            hint="Set [cloudindex] state_conn_id to a Postgres connection, or use a local disk.",
        )
    try:
        if _is_emptied(path):
            _log.warning(
                "The state in %s is an empty file, which a state never is: it is lost, and begun anew. What CloudIndex"
                " has already is found by the first look at the project. If you have a backup, restore it instead.",
                path,
            )
        foreign = _foreign(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StateError(f"The state's file {path} can't be read: {error.strerror}.") from None
    if foreign:
        raise StateError(f"The state in {path} is damaged or isn't ours: {foreign}.", hint=DAMAGE_HINT)


def has_sqlite_file(url: URL) -> bool:
    """Whether there is a file with something in it, be it a state or not."""
    path = Path(url.database or "")
    try:
        return path.stat().st_size > 0
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # its opening says what is wrong


def _check_existing(path: Path) -> None:
    try:
        size = path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        raise StateError(f"There is no state in {path}.", hint=MISSING_HINT) from None
    except OSError as error:
        raise StateError(f"The state's file {path} can't be read: {error.strerror}.") from None
    if not size and not _is_emptied(path):
        raise StateError(f"There is no state in {path} yet: somebody is making it.", hint=MISSING_HINT)
    if not size:
        raise StateError(
            f"The state in {path} is an empty file, so it is lost.",
            hint="Restore a backup of it, or run a sync, which finds by itself what CloudIndex has already.",
        )


def find_denial(url: URL, error: sqlite3.Error, *, read_only: bool) -> str | None:
    """What this user may not do with the file or its folder, where that is why SQLite has failed.

    Asked afterwards, because what SQLite needs depends on what is there: a reader writes, too, where the log has no
    index yet.
    """
    if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _MAYBE_DENIED:
        return None
    path = Path(url.database or "").absolute()
    if path.is_dir():
        return "it is a folder, not a file"
    log, index = (path.with_name(f"{path.name}-{end}") for end in ("wal", "shm"))
    needs = os.R_OK if read_only else os.R_OK | os.W_OK
    denied = next((one for one in (path, log, index) if one.exists() and not os.access(one, needs)), None)
    if denied is None and not (read_only and index.exists()) and not os.access(path.parent, os.W_OK | os.X_OK):
        denied, needs = path.parent, os.W_OK
    what = "read it" if needs == os.R_OK else "write there"
    return f"it needs {denied}, and user {os.getuid()} may not {what}" if denied else None


_MAYBE_DENIED = {sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR}


def file_system(folder: Path) -> str:
    """The type of the file system that holds ``folder``; ``""`` where the system doesn't tell."""
    best, kind = "", ""
    for line in _mounts():
        _, point, found, *_ = line.split(" ")
        if folder.is_relative_to(point.replace("\\040", " ")) and len(point) >= len(best):
            best, kind = point, found
    return kind


def _mounts() -> list[str]:
    try:
        return _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _is_emptied(path: Path) -> bool:
    if path.stat().st_size:
        return False
    log = path.with_name(f"{path.name}-wal")
    return bool(log.exists() and log.stat().st_size) or time.time() - path.stat().st_mtime > _FIRST_OPENING


def _foreign(path: Path) -> str | None:
    """What the file is, where it can't be a state's: opening it for writing would already change its header.

    Asked through SQLite alone. Whoever closes a file that this process has open elsewhere ends its locks (POSIX), and
    SQLite, which knows that, is the only one that doesn't: without them another process, when it closes the state,
    deletes the log that this one still writes to (sqlite.org, "How To Corrupt An SQLite Database File", 2.2).
    """
    path.stat()
    try:
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    except sqlite3.Error:
        return None  # whoever opens it finds out
    try:
        if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":  # as a state's always is
            return None
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
            return "the file is no SQLite database"
        return None  # locked by another first opening, or damaged: whoever opens it finds out
    finally:
        connection.close()
    return "the database has tables, but no schema version" if tables and "meta" not in tables else None
