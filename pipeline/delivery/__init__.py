"""The two transactions on which the promises depend: the claim before the final dot, and the outcome after it. And what
a delivery takes from those that it follows.

No SMTP is spoken here; it is told what a server said.
"""
