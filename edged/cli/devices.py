"""`edged devices`: which microphones there are, what they can do, and who holds them."""

import argparse

from edged.capture.cards import NODES
from edged.capture.devices import converter_warning, list_devices
from edged.capture.libasound import configuration_fault
from edged.model.errors import ExitStatus

DESCRIPTION = """\
List the cards that capture: the name for capture.device, what the card can do by itself (plughw: converts the rest),
and the process that holds it. Cards that nobody holds are opened for a moment.
"""
EPILOG = """\
exit status: 0, also if there is none; 64 the command line can't be followed

examples:
  edged devices
  edged run --set capture.device=plughw:CARD=Device      with a name from the list
"""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    parser = subparsers.add_parser(
        "devices",
        help="list the microphones",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints them; no microphone is no error."""
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
            print(
                f"{NODES} is absent too: no sound driver is loaded, or this is a container without `--device {NODES}`."
            )
    elif len(found) == 1:
        print('\nIt is what capture.device = "auto" uses.')
    else:
        print(f'\nSeveral: choose one, e.g. under [capture]: device = "{found[0].name}"')
    if warning := converter_warning():
        print(f"\nWarning: {warning}.")
    return ExitStatus.OK
