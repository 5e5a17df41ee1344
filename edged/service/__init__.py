"""What ties the daemon to the machine it runs on: its log, and its service manager."""
