"""Where audio comes from: open, read, stamp, hand over. Nothing here knows what speech is."""
