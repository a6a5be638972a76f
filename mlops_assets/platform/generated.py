"""What the platform makes up at its first start and keeps: credentials and internal ports."""

from __future__ import annotations

import json
import os
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops_assets.settings import Settings


def ensure_secrets(settings: Settings) -> None:
    """Write the object store's credentials, readable by the owner alone, unless they are there."""
    settings.state.mkdir(parents=True, exist_ok=True)
    file = settings.secrets_file
    if file.exists():
        return
    made = {"s3_access_key_id": secrets.token_hex(10), "s3_secret_access_key": secrets.token_hex(24)}
    part = file.with_suffix(".part")
    part.unlink(missing_ok=True)
    # Made with its mode, not changed to it later: nobody else can open it in between.
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        json.dump(made, out)
        out.flush()
        os.fsync(out.fileno())
    part.replace(file)
