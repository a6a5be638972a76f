"""Started by the supervisor for each service: ``python -m mlops_assets.platform.launch SPEC``.

It ends what a killed predecessor left behind (children that hold the port or the data), prepares,
takes the environment that the specification gives (nothing is inherited) and becomes the service.
"""

from __future__ import annotations

import importlib
import json
import os
import pwd
import sys
from pathlib import Path
from typing import Any

from mlops_assets.platform.orphans import Belonging, end


def main(file: str) -> None:
    """Become the service that the JSON ``file`` describes; never returns."""
    spec: dict[str, Any] = json.loads(Path(file).read_text())
    if left := end(Belonging(**spec["belonging"]).processes()):
        print(f"launch: ended {left} processes of a killed predecessor", flush=True)  # noqa: T201 - its log
    if spec["prepare"]:
        module, _, function = spec["prepare"].partition(":")
        getattr(importlib.import_module(module), function)(spec)
    os.chdir(spec["cwd"])
    if spec["user"]:
        _become(spec["user"])
    os.execve(spec["argv"][0], spec["argv"], spec["env"])  # noqa: S606 - becoming it is the point


def _become(user: str) -> None:
    account = pwd.getpwnam(user)
    os.initgroups(user, account.pw_gid)
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)


if __name__ == "__main__":
    main(sys.argv[1])
