"""What an account is to the program: its login, its name, its signature, its health, and who is told when it goes bad.

What a person does to an account is in `operations`; what it has left today is in `capacity`.
"""
