"""What a caller may ask for: one function per use case.

Job: check the caller's right, validate what was asked, read or write through the
ports in as few transactions as it takes, and hand back records.
Prohibition: no HTTP, no SQL, no asyncio, no adapter; what a service needs from the
world comes in its `Context`.
"""
