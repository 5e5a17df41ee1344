"""The machine that the daemon runs on: log, standard streams, clocks, mounts, and service manager."""
