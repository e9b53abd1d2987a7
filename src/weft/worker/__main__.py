"""`python -m weft.worker zygote <socket fd> <proof fd> <parent pid>`: started by executors."""

from __future__ import annotations

import sys

from weft.worker.zygote import serve

USAGE = "This is started by executors: python -m weft.worker zygote SOCKET_FD PROOF_FD PARENT_PID"


def main(arguments: list[str]) -> int:
    """Run the zygote until its engine is gone; return the exit code."""
    if len(arguments) != 4 or arguments[0] != "zygote":  # noqa: PLR2004  the usage says which four
        sys.stderr.write(f"{USAGE}\n")
        return 2
    socket_fd, proof_fd, parent = (int(argument) for argument in arguments[1:])
    return serve(socket_fd, proof_fd=proof_fd, parent=parent)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
