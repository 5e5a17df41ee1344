import os
import signal
import stat
from pathlib import Path

import pytest

from edged.spool.ring import DATA_OFFSET, HEADER_OFFSETS, MAX_HOLES, Ring, RingContents, read_ring
from tests.spool.some import RATE, pcm

BLOCK = 1600


def filled(path: Path, blocks: int, seconds: float = 1.0) -> Ring:
    ring = Ring(path, "run-1", "boot-1", RATE, seconds)
    for start in range(0, blocks * BLOCK, BLOCK):
        ring.write(start, pcm(start, start + BLOCK), max(0, start - BLOCK), 100 + start / RATE)
    return ring


def found(path: Path) -> RingContents:
    kept = read_ring(path)
    assert kept is not None
    return kept


def test_the_last_seconds_are_found_again(tmp_path: Path) -> None:
    filled(tmp_path / "ring", 47)
    kept = found(tmp_path / "ring")
    end = 47 * BLOCK
    assert kept[:5] == ("run-1", RATE, end - RATE, pcm(end - RATE, end), end - 2 * BLOCK)
    assert kept.at_s == pytest.approx(100 + (end - RATE) / RATE)


def test_less_than_it_keeps_is_all_found(tmp_path: Path) -> None:
    filled(tmp_path / "ring", 3)
    kept = found(tmp_path / "ring")
    assert (kept.position, kept.pcm, kept.at_s) == (0, pcm(0, 3 * BLOCK), 100.0)


def test_what_lies_before_a_hole_stays(tmp_path: Path) -> None:
    """It may not be stored yet: a card stalls, or new audio is gathered."""
    ring = filled(tmp_path / "ring", 4)
    ring.write(10_000, pcm(10_000, 11_600), 0, 100 + 10_000 / RATE)
    kept = found(tmp_path / "ring")
    assert (kept.position, kept.at_s, kept.holes) == (0, 100.0, ((6400, 10_000),))
    assert kept.pcm[: 2 * 6400] + kept.pcm[2 * 10_000 :] == pcm(0, 6400) + pcm(10_000, 11_600)


def test_before_too_many_holes_nothing_stays(tmp_path: Path) -> None:
    ring = Ring(tmp_path / "ring", "run-1", "boot-1", RATE, 5.0)
    for start in range(0, 7 * 2 * BLOCK, 2 * BLOCK):
        ring.write(start, pcm(start, start + BLOCK), 0, start / RATE)
    kept = found(tmp_path / "ring")
    assert (kept.position, len(kept.holes), kept.holes[-1]) == (2 * BLOCK, MAX_HOLES, (11 * BLOCK, 12 * BLOCK))


def test_a_hole_longer_than_it_keeps_begins_anew(tmp_path: Path) -> None:
    ring = filled(tmp_path / "ring", 8)
    ring.write(100_000, pcm(100_000, 100_800), 0, 500.0)
    kept = found(tmp_path / "ring")
    assert (kept.position, kept.pcm, kept.at_s) == (100_000, pcm(100_000, 100_800), 500.0)


def test_it_is_private_and_gone_when_closed(tmp_path: Path) -> None:
    ring = filled(tmp_path / "ring", 3)
    assert stat.S_IMODE((tmp_path / "ring").stat().st_mode) == 0o600
    ring.close()
    assert read_ring(tmp_path / "ring") is None
    assert list(tmp_path.iterdir()) == []


def test_a_header_cut_short_leaves_the_one_before(tmp_path: Path) -> None:
    """Of two headers the newest whole one counts; the audio that it calls valid is untouched by the write after it."""
    path = tmp_path / "ring"
    ring = filled(path, 30)
    before = path.read_bytes()
    ring.write(30 * BLOCK, pcm(30 * BLOCK, 31 * BLOCK), 0, 0.0)
    after = path.read_bytes()
    newest = HEADER_OFFSETS[31 % 2]
    for cut in range(1, 100, 7):
        torn = after[: newest + cut] + before[newest + cut : DATA_OFFSET] + after[DATA_OFFSET:]
        path.write_bytes(torn)
        kept = found(path)
        if torn[:DATA_OFFSET] != after[:DATA_OFFSET]:
            assert (kept.position, kept.pcm) == (30 * BLOCK - RATE, pcm(30 * BLOCK - RATE, 30 * BLOCK))


@pytest.mark.parametrize("damage", [b"", b"\0" * 4000, b"garbage" * 1000])
def test_what_makes_no_sense_is_nothing(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "ring").write_bytes(damage)
    assert read_ring(tmp_path / "ring") is None


def test_a_file_cut_short_is_nothing(tmp_path: Path) -> None:
    filled(tmp_path / "ring", 30)
    os.truncate(tmp_path / "ring", 20_000)
    assert read_ring(tmp_path / "ring") is None


def test_a_new_ring_takes_the_place_of_an_old_one(tmp_path: Path) -> None:
    filled(tmp_path / "ring", 30)
    Ring(tmp_path / "ring", "run-2", "boot-1", RATE, 1.0)
    assert read_ring(tmp_path / "ring") is None


def test_a_block_longer_than_it_can_take_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too long"):
        Ring(tmp_path / "ring", "run-1", "boot-1", RATE, 2.0).write(0, bytes(2 * (RATE + 1)), 0, 0.0)
    with pytest.raises(ValueError, match="32 bytes"):
        Ring(tmp_path / "ring", "x" * 33, "boot-1", RATE, 2.0)


@pytest.mark.slow
def test_sigkill_at_any_moment_leaves_true_audio(tmp_path: Path) -> None:
    """What is found is what was captured, to the last block but one that was written."""
    blocks = [pcm(start, start + 160) for start in range(0, 160 * 2000, 160)]
    for number in range(12):
        path = tmp_path / f"{number}"
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            ring = Ring(path, "run-1", "boot-1", RATE, 0.5)
            for i, block in enumerate(blocks):
                ring.write(i * 160, block, 0, 0.0)
                if i == 100 + number * 97:
                    os.write(writing, b"x")
            os._exit(0)
        os.read(reading, 1)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reading)
        os.close(writing)
        kept = found(path)
        assert kept.pcm == pcm(kept.position, kept.position + len(kept.pcm) // 2)
        assert kept.position + len(kept.pcm) // 2 >= (101 + number * 97) * 160
