"""One file per command, found by its name: the attribute `command` is it.

Job: each file states its short help in the first line of its docstring.
Prohibition: a command never imports another one.
"""
