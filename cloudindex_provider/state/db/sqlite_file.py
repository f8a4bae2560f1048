"""The state's file, looked at before SQLite opens it: where it lies, and whether it was emptied.

SQLite takes a file of no bytes for a new database (a cut one it refuses by itself), and a state that was lost must
never pass for one that was never there. Writes nothing but the missing folder.
"""

from __future__ import annotations

import time
from pathlib import Path

from sqlalchemy.engine import URL

from cloudindex_provider.errors import StateError

__all__ = ["DAMAGE_HINT", "prepare_sqlite_file"]

DAMAGE_HINT = "Nothing was changed. Restore a backup of the file, or move it away to begin anew."
# File systems on which SQLite's locks or its shared memory don't work between machines.
_NETWORK_FILE_SYSTEMS = {
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "beegfs",
    "fuse.s3fs", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.rclone", "fuse.goofys", "fuse.gcsfuse",
}  # fmt: skip
_MOUNTS = Path("/proc/self/mounts")
_FIRST_OPENING = 60.0  # seconds; whoever opens a new file first has written its header long before


def prepare_sqlite_file(url: URL) -> None:
    """Make the file's folder, and refuse a file that SQLite would wrongly take for a good one.

    :raises StateError: for no file, a network file system and an emptied file
    """
    if not url.database or url.database == ":memory:":
        raise StateError("The state can't be in memory: it must outlive the process.", hint="Give a file's path.")
    path = Path(url.database).absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StateError(f"The state's folder {path.parent} can't be made: {error.strerror}.") from None
    kind = _file_system(path.parent.resolve())
    if kind in _NETWORK_FILE_SYSTEMS:
        raise StateError(
            f"The state {path} lies on a network file system ({kind}), where SQLite's locks don't hold.",
            hint="Set [cloudindex] state_conn_id to a Postgres connection, or use a local disk.",
        )
    try:
        damage = _damage(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StateError(f"The state's file {path} can't be read: {error.strerror}.") from None
    if damage:
        raise StateError(f"The state in {path} is damaged: {damage}.", hint=DAMAGE_HINT)


def _file_system(folder: Path) -> str:
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


def _damage(path: Path) -> str | None:
    log = path.with_name(f"{path.name}-wal")
    written = log.stat().st_size if log.exists() else 0
    status = path.stat()
    if status.st_size:
        return None
    old = time.time() - status.st_mtime > _FIRST_OPENING
    return "the file is empty, which a state never is" if written or old else None
