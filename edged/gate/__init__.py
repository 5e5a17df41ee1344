"""Speech detection: detectors judge each frame, and the gate decides which audio it passes on."""
