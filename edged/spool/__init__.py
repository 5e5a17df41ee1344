"""What outlives the process: speech that is not answered yet, and records that are not delivered yet."""
