"""The two transactions on which everything rests: the claim before the final dot, and the outcome after it.

No SMTP is spoken here; it is told what a server said.
"""
