"""From audio let through to answers: one lane, its sessions, the account of samples, and the wire."""
