"""The web application: every router in `routes/`, behind the guard."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Collection

from fastapi import APIRouter, FastAPI
from starlette.requests import Request

from weft.api import routes
from weft.api.deps import Identify
from weft.api.errors import Shield, handlers
from weft.api.guard import Guard
from weft.api.intake import BODY_LIMIT, Intake
from weft.services.caller import LOCAL, Caller
from weft.services.context import Context


def create_app(
    context: Context,
    *,
    version: str,
    legacy_errors: bool = False,
    allowed_hosts: Collection[str] = (),
    allowed_origins: Collection[str] = (),
    body_limit: int = BODY_LIMIT,
    identify: Identify | None = None,
) -> FastAPI:
    """Return the application over one project.

    With `legacy_errors` errors are answered with HTTP status 200, as old clients
    expect; what the guard refuses is not. `allowed_hosts` and `allowed_origins` come
    beside loopback and the server's own origin. `identify` says who asks: without it,
    whoever sits here.
    """
    app = FastAPI(
        title="Weft",
        version=version,
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        exception_handlers=dict(handlers(legacy=legacy_errors)),
        redirect_slashes=False,
    )
    app.state.context = context
    app.state.identify = identify or _local
    for router in routers():
        app.include_router(router)
    # The last added is the outermost.
    app.add_middleware(Intake, limit=body_limit, legacy=legacy_errors)
    app.add_middleware(Shield, legacy=legacy_errors)
    app.add_middleware(Guard, hosts=allowed_hosts, origins=allowed_origins)
    return app


def routers() -> list[APIRouter]:
    """Return the router of every module in `routes/`, in order of name."""
    found = sorted(module.name for module in pkgutil.iter_modules(routes.__path__))
    return [importlib.import_module(f"{routes.__name__}.{name}").router for name in found]


def _local(_request: Request) -> Caller:
    return LOCAL
