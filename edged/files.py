"""Files that people name, for reading."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_file(path: Path) -> BinaryIO:
    """Open it without waiting. Raises OSError, also for a pipe or a device: one might wait for it for ever.

    /dev/null is a file here: an empty one.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    found = os.fstat(descriptor)
    error = 0
    if stat.S_ISDIR(found.st_mode):
        error, why = errno.EISDIR, os.strerror(errno.EISDIR)
    elif not stat.S_ISREG(found.st_mode) and found.st_rdev != os.stat(os.devnull).st_rdev:
        error, why = errno.EINVAL, "it is a pipe or a device, not a file"
    if error:
        os.close(descriptor)
        raise OSError(error, why, str(path))
    return os.fdopen(descriptor, "rb")
