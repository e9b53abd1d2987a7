"""What Weft knows: values and pure rules, standard library only.

Job: the nouns of the product, and every rule that decides something.
Prohibition: nothing here reads a clock, a file, a socket, the environment or a
random number. Time, randomness and identity come in as arguments.
"""
