"""The web pages: what everybody may see (unsubscribing), and what only the operator may.

Asks `operations`, `reports` and `runtime` of the pipeline, and stores and sends nothing itself. No page loads anything
from elsewhere, or runs a script.
"""
