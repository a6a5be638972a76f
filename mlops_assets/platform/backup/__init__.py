"""``mlops backup`` and ``mlops restore``: the databases and the buckets, as of one moment, in a folder.

Everything else that the platform keeps is made from these, or made up anew (credentials, ports).
"""

from mlops_assets.platform.backup.restore import restore
from mlops_assets.platform.backup.take import backup

__all__ = ["backup", "restore"]
