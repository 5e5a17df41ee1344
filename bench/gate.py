"""What the gate keeps of speech, sends of noise, and costs, beside what others do.

    script/bench gate               on recordings that any Debian machine can install, and noise that is made
    script/bench gate --audio DIR   on those of DIR/index.json: `speech` (with `speech_s`), `close_speech`, `noise`

Prints one table, writes it and a picture: bench/gate.md and bench/gate.png of all there is with --audio, else
.cache/gate.md and .cache/gate.png.
"""

import argparse
import multiprocessing
import os
import sys
import time
from pathlib import Path

from gating import evidence, leave_out, report
from gating.material import Sound, for_cost, mixtures, of_debian, of_directory
from gating.measure import Figures, Measured, figures, memory_mb
from gating.variants import variants

from edged.gate.detectors import why_not_installed

HERE = Path(__file__).parent
LEVELS_DB = (20, 10, 5)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", metavar="DIR", type=Path, help="where index.json and its recordings are")
    parser.add_argument("--out", metavar="FILE.md", type=Path, help="default: see above")
    parser.add_argument("--only", metavar="GROUP", choices=("all", "edged", "others", "tried"), default="all")
    parser.add_argument("--jobs", metavar="N", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    if arguments.audio and not (arguments.audio / "index.json").exists():
        parser.error(f"there is no {arguments.audio / 'index.json'}")
    kept = arguments.audio and arguments.only == "all"
    out = arguments.out or (HERE if kept else HERE.parent / ".cache") / "gate.md"
    sounds = of_directory(arguments.audio) if arguments.audio else of_debian()
    material = [*sounds, *mixtures(sounds, LEVELS_DB), *for_cost(sounds)]
    rows = variants(arguments.only)
    more = arguments.only == "all" and not why_not_installed("silero")
    candidates, evident = (leave_out.rows(), evidence.rows()) if more else ([], [])
    print(report.material(material), flush=True)
    plain = [sound for sound in material if sound.group in leave_out.GROUPS]
    work = [(row.name, sound) for row in rows for sound in material]
    work += [(row.name, sound) for row in candidates for sound in plain]
    spoken = [sound for sound in material if sound.speech]
    work += [(row.name, sound) for row in evident for sound in (*spoken, *evidence.long_noise(sounds))]
    begun_s = time.monotonic()
    measured: dict[str, list[Measured]] = {row.name: [] for row in (*rows, *candidates, *evident)}
    with multiprocessing.Pool(arguments.jobs) as pool:
        for i, (name, one) in enumerate(pool.imap_unordered(_measure, work, chunksize=20)):
            measured[name].append(one)
            if sys.stderr.isatty() and i % 50 == 0:
                print(f"\r{i / len(work):4.0%}", end="", file=sys.stderr, flush=True)
    found: list[tuple[str, str, Figures]] = [
        (row.name, row.note, figures(measured[row.name], memory_mb(row.name))) for row in rows
    ]
    parts = dict.fromkeys((report.CUTS, report.EVIDENCE, report.LEFT_OUT), "Not measured.")
    if more:
        parts[report.CUTS] = report.cuts(sounds, measured[report.SHORTER], measured[report.ALONE])
        parts[report.EVIDENCE] = evidence.text({row.name: measured[row.name] for row in evident})
        parts[report.LEFT_OUT] = leave_out.text({row.name: measured[row.name] for row in candidates})
    text = report.text(material, found, out.with_suffix(".png").name, parts)
    print(f"\r{report.table(found)}\n\n{time.monotonic() - begun_s:.0f} s")
    out.parent.mkdir(exist_ok=True)
    out.write_text(text)
    print(out)
    try:
        report.picture(found, out.with_suffix(".png"))
        print(out.with_suffix(".png"))
    except ModuleNotFoundError:
        print(f"no picture: that needs Pillow (`{sys.executable} -m pip install pillow`)")
    return 0


def _measure(work: tuple[str, Sound]) -> tuple[str, Measured]:
    name, sound = work
    run = next(row.run for row in (*variants("all"), *leave_out.rows(), *evidence.rows()) if row.name == name)
    begun_s = time.process_time()
    outcome = run(sound)
    return name, Measured(sound._replace(pcm=b""), sound.duration_s, outcome, time.process_time() - begun_s)


if __name__ == "__main__":
    sys.exit(main())
