"""The questions that the inside asks of the world, each a short Protocol.

Job: state every contract in words; tests/contract holds the suite of each.
Prohibition: no implementation, no third party, nothing but core below.
"""
