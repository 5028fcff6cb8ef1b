"""Campaigns at work: who is enrolled, which step is due for whom, and whom today's room is for.

Reads: campaigns, lists, enrolments. Writes enrolments, in the caller's transaction. What the throttle decides by is
pure and lives in `throttle`; what people do with campaigns lives in `operations`; stage 1 makes deliveries of what is
picked.
"""
