"""How fast Weft is, beside what the same work costs with nothing around it.

Job: print one JSON line per figure, each with its floor measured in the same run.
Prohibition: no figure without a floor or a stated aim; nothing here is a test.
"""
