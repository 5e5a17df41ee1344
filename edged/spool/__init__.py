"""What outlives the process: speech without a transcript, and records that a sink lacks."""
