# noqa: INP001 - a script of the image, no package
"""Is the role in this container alive? Status 0 when its admin port says so within the time; 1 with the reason."""

import http.client
import os
import sys

WAIT_S: float = 4.0


def main() -> int:
    """Asks `/health/live` on this machine, at TOCSIN_ADMIN_PORT."""
    port = int(os.environ["TOCSIN_ADMIN_PORT"])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
    try:
        connection.request("GET", "/health/live")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        sys.stderr.write(f"nothing answers on port {port}: {error}\n")
        return 1
    finally:
        connection.close()
    if status != http.client.OK:
        sys.stderr.write(f"port {port} answers {status}\n")
    return int(status != http.client.OK)


if __name__ == "__main__":
    sys.exit(main())
