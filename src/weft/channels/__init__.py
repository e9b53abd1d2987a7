"""Ways to tell somebody outside: each file is one plugin of `weft.channels`.

Job: deliver one announcement of the outbox, or raise so that it is tried again.
Prohibition: no reading of the store; what is told stands in the announcement.
"""
