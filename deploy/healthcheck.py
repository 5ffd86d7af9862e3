"""The container's health check: does the web of this container serve? Exit status 0 if it does."""

import http.client
import os
import sys

# Less than what the Dockerfile gives the whole program.
SECONDS = 4


def main() -> int:
    connection = http.client.HTTPConnection(
        "127.0.0.1", int(os.environ.get("PORT", "8000")), timeout=SECONDS
    )
    try:
        connection.request("GET", "/health/live")
        return 0 if connection.getresponse().status == http.HTTPStatus.OK else 1
    except (OSError, http.client.HTTPException) as error:
        print(f"The web does not answer: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
