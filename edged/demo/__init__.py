"""The demo: known sentences through a virtual microphone, edged and a local recogniser, and what came of them."""
