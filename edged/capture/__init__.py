"""Capture of audio: open a source, read it, stamp its blocks, and queue them. Nothing here knows what speech is."""
