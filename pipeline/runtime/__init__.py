"""What every room needs while the program runs: settings, keys, logs, waiting for what is away, faults, failpoints,
child processes.

Nothing here knows what a mail, an account or a template is.
"""
