"""The command `weft`: parse, call one use case, print.

Job: arguments in; answers on stdout, messages on stderr, and an honest exit code.
Prohibition: no rules of the product, and nothing heavy imported for `--help`.
"""
