"""One file per resource, each with a `router`; `app` finds them by itself.

Job: parse a request, call one service function, answer.
Prohibition: resources do not know each other; a route has no rule of its own.
"""
