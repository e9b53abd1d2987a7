"""HTTP: parse, call one service function, answer.

Job: routes, the shapes that clients read, the guard against foreign web pages.
Prohibition: no rule of the product, no SQL, no adapter; only `stream` and the ASGI
middleware are asynchronous.
"""
