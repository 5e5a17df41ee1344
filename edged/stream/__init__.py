"""From audio that passed the gate to utterances: pending audio, the sender, its sessions, and the wire protocol."""
