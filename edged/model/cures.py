"""Advice for errors of the operating system. Pure."""

import errno
from typing import Final

CURES: Final = {
    errno.ENOSPC: "free some space (`df -h` and `df -i` show where)",
    errno.EDQUOT: "free some space, or raise this user's disk quota",
    errno.EFBIG: "the file may not grow further: move it away, or let logrotate rotate it",
    errno.EROFS: "remount it writable (`dmesg` shows why it is not), let the service write there (ReadWritePaths=), or "
    "choose another place",
    errno.EIO: "the disk or its connection fails (`dmesg` shows more): save what matters, and replace it",
    errno.ENXIO: "the device behind it is gone: connect it again",
    errno.ENODEV: "the device behind it is gone: connect it again",
    errno.ENOLCK: "this file system has no locks (NFS without its lock service): choose a directory on this machine",
    errno.ESTALE: "the network file system has lost it: mount it again",
    errno.ENOTCONN: "the file system's program has ended: mount it again",
    errno.EHOSTDOWN: "the network file system's server does not answer: start it, or mount another",
    errno.ETIMEDOUT: "the network file system's server does not answer: start it, or mount another",
    errno.EACCES: "give this user access (`namei -l` shows where it is denied)",
    errno.EPERM: "give this user access (`lsattr` shows what may not be changed), or lift the unit's restriction",
    errno.ELOOP: "its symbolic links form a loop: correct them",
    errno.ENOTDIR: "a part of its path is a file: choose another place",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "raise LimitNOFILE= of the service, or `ulimit -n`",
    errno.ENFILE: "another program holds too many files open: end it, or raise fs.file-max",
    errno.ENOMEM: "free some memory, or raise MemoryMax= of the service",
    errno.EADDRINUSE: "end the program that listens there, or choose another port",
    errno.EADDRNOTAVAIL: "this machine does not have that address: choose one of `ip address`",
}
"""Advice by error number, for errors whose own text does not say what to do."""


def with_cure(error: BaseException) -> str:
    """Return the system's text of an error and, where there is some, advice. One line, without a file name."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error) or type(error).__name__
    of_the_system = type(error).__module__ == "builtins"  # edged's own subclasses have a text of their own
    cure = CURES.get(error.errno or 0) if of_the_system else None
    return f"{error.strerror}: {cure}" if cure else error.strerror
