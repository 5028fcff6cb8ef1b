"""May this person be written to: each rule once, as a question about a few and as a condition for a query.

Reads only.
"""
