"""What is speech: detectors give a verdict for each frame, the gate decides what is let through."""
