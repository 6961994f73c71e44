"""The HTTP server: `serve` runs it until it is told to end.

Sanic reads requests and writes answers; what they mean is in `pyollama.api`. Nothing here, and nothing that
it imports, loads native code.

    guard       who may call: Host and Origin
    app         every request's way in: guard, route, log
    routes      paths, methods, and how an answer is written
    body        reading request bodies
    response    answers; errors: exceptions to answers
    connection  one connection: large bodies, old and slow clients
    listening   sockets; lifecycle: start and end
"""

from pyollama.server.app import Application, make_app
from pyollama.server.lifecycle import GRACE_SECONDS, serve, serve_service

__all__ = ["GRACE_SECONDS", "Application", "make_app", "serve", "serve_service"]
