"""Runs inside the cluster: asks an endpoint without a pause, and prints what it answered, by status.

``python -`` ADDRESS SECONDS BODY, with the key in MLOPS_ENDPOINT_API_KEY. Standard library only.
"""

import collections
import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request


def ask(address: str, body: str) -> str:
    """The status of one answer, or how there was none."""
    headers = {"Content-Type": "application/json", "X-API-Key": os.environ["MLOPS_ENDPOINT_API_KEY"]}
    request = urllib.request.Request(f"{address}/predict", body.encode(), headers)  # noqa: S310 - http, ours
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - as above
            return str(answer.status)
    except urllib.error.HTTPError as error:
        return str(error.code)
    except (OSError, http.client.HTTPException) as error:
        return repr(error)


if __name__ == "__main__":
    address, seconds, body = sys.argv[1:]
    found: collections.Counter[str] = collections.Counter()
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        found[ask(address, body)] += 1
    print(json.dumps(found))
