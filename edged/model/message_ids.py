"""Ids of the log messages that may need somebody's help. Pure."""

from enum import StrEnum


class MessageId(StrEnum):
    """Id of a log message (MESSAGE_ID), explained in `systemd/edged.catalog` for `journalctl -x`. It never changes."""

    MICROPHONE_ABSENT = "a1f16b35aa904ddbb7e8e2d1a5bdfd2a"
    MICROPHONE_BUSY = "32d827ed326541e79c7db79a9fa7c28e"
    MICROPHONE_FORBIDDEN = "02b5cbcbc58c4933b8d9ddd5fd85ff79"
    MICROPHONE_SILENT = "27c635d52db94329aa8dcb260d7f1f6e"
    MICROPHONE_STUCK = "8e9586465d97491ea89577e5c9f3c36e"
    MICROPHONE_FAINT = "0c3f6f0e9f0a4c0f8a5b7d1e2c94b6a3"
    MICROPHONE_RATE = "5b8e1d7c34f2463f9d60a1c7e8b2f495"
    KEY_ABSENT = "2e28874d30cf47fda11b140145d07e1b"
    KEY_REFUSED = "8a44ac6930624a6ca780290db6896e66"
    REFUSED = "1b78712369594a49acdc61f5736aa73d"
    NETWORK = "714cb888ff5c406db7eef5529ae42e39"
    PORTAL = "80e2fc80da5a4618990c3084d1e45725"
    CERTIFICATE = "914108f2d1ee4cffa638a044a41a1b36"
    CLOCK = "516b0bc40092451398661b3f4d057f9b"
    SINK = "5d19ea7aa9ac4dc59d7cc0ad26fe36b7"
    SPOOL = "483e88cd782b422d8823b2acd4b7065c"
    SPOOL_DAMAGED = "e4497a266b4f43528bbe8b1c0f60a39e"
    EVICTION = "59596dd790ed4b86ad7a4b8e3a012b45"
    BACKLOG = "bd35e42adf8e4715b36346dfbbc44559"
    CONFIGURATION = "1f7d7768415942f5a0fb4c9062782836"
    ALSA = "fa5dce6bd1f34a789fcfffe892600c83"
    KILLED = "cfa10e7f618244a780c664139bb58299"
