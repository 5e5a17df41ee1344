"""`edged devices`: list the microphones, what they support, and which process uses them."""

import argparse

from edged.capture.cards import NODES
from edged.capture.devices import converter_warning, list_devices
from edged.capture.libasound import configuration_fault
from edged.model.errors import ExitStatus

DESCRIPTION = """\
List the sound cards that can capture: the name for capture.device, the formats
that the card supports natively (plughw: converts the others), and the process
that uses it. Cards that are free are opened briefly.
"""
EPILOG = """\
exit status: 0, also without a microphone; 64 the command line is wrong

examples:
  edged devices
  edged run --set capture.device=plughw:CARD=Device    (a name from the list)
"""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to `edged`."""
    parser = subparsers.add_parser(
        "devices",
        help="list the microphones",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the list. Finding no microphone is not an error."""
    found = list_devices()
    for device in found:
        print(f"{device.name}\n    {device.title}\n    {device.capabilities}")
        if device.holder:
            print(f"    held by {device.holder}")
        if device.warning:
            print(f"    {device.warning}")
    if not found and (fault := configuration_fault("default")):
        print(f"{fault}.")
    elif not found:
        print('No microphone is there. Plug one in, or transcribe a recording: capture.source = "wav".')
        if not NODES.exists():
            print(f"{NODES} is absent too: no sound driver is loaded, or this container lacks `--device {NODES}`.")
    elif len(found) == 1:
        print('\ncapture.device = "auto" uses this one.')
    else:
        print(f'\nThere are several: choose one under [capture], such as device = "{found[0].name}"')
    if warning := converter_warning():
        print(f"\nWarning: {warning}.")
    return ExitStatus.OK
