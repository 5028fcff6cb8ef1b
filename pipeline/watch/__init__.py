"""Is anybody working? `hearts` writes who lives, what each waits for and which job has run; `problems` reads from that
what is wrong with the running of the program; `alarm` tells somebody, once, and again when it is mended.
"""
