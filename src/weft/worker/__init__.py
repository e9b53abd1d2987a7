"""What happens where blocks run: the zygote, the child that it forks, and the work itself.

Job: carry out one envelope in a process of its own and tell how it ended.
Prohibition: no database, no web framework, no executor; the engine is reached only
through messages.
"""
