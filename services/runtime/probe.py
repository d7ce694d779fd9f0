"""Asks a service on this machine how it is: `python -m services.runtime.probe`, status 0 when it is ready.

For the health check of a container. It runs every few seconds beside the service, so it loads nothing of ours.
"""

import http.client
import os
import sys

_ANSWER_SECONDS = 5.0


def problem(port: int, path: str = "/readyz") -> str | None:
    """Return why the service on `port` of this machine is not ready; none when it is."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        said = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return f"no answer on port {port}: {error}"
    finally:
        connection.close()
    return None if answer.status == http.client.OK else said


if __name__ == "__main__":
    sys.exit(problem(int(os.environ.get("MAILLAGE_PORT", "8000"))))
