"""Resumable export of telemetry history to a Parquet, CSV or JSON lines file.

```python
from datetime import timedelta
from enapter_async.exporter import ExportRequest, export_history

request = ExportRequest(start=timedelta(days=30), granularity=300, attributes="all")
result = await export_history(client, "history.parquet", request)
```

`export_to_store` writes the same rows into a database, and resumes as well.
"""

from enapter_async.exporter._formats import FORMATS, guess_format
from enapter_async.exporter.database import DatabaseExportResult, ResumableStore, RowStore, export_to_store
from enapter_async.exporter.export import ExportResult, HistoryExport, export_history
from enapter_async.exporter.request import ExportRequest
from enapter_async.exporter.selection import SelectedDevice, select_devices

__all__ = [
    "FORMATS",
    "DatabaseExportResult",
    "ExportRequest",
    "ExportResult",
    "HistoryExport",
    "ResumableStore",
    "RowStore",
    "SelectedDevice",
    "export_history",
    "export_to_store",
    "guess_format",
    "select_devices",
]
