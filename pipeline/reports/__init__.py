"""What people see, as typed values: status, plan, why, log, lists. Reads only, prints nothing.

The command line and every page show these and nothing else, so that there is never a second truth.
"""
