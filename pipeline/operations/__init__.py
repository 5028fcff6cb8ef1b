"""What people do: each action one function, one transaction, with its record (who, when, why).

Returns what is to be handed on; sends nothing itself. Prints nothing and parses no command line.
"""
