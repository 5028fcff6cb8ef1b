"""The door: the command line, the long-running processes, the demo."""
