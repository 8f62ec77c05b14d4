"""History of telemetry into one file, resumable after any end: Parquet, CSV or JSON lines.

```python
from datetime import timedelta
from enapter_async.exporter import ExportRequest, export_history

request = ExportRequest(start=timedelta(days=30), granularity=300, attributes="all")
result = await export_history(client, "history.parquet", request)
```
"""

from enapter_async.exporter._formats import FORMATS, guess_format
from enapter_async.exporter.export import ExportResult, HistoryExport, export_history
from enapter_async.exporter.request import ExportRequest
from enapter_async.exporter.selection import SelectedDevice, select_devices

__all__ = [
    "FORMATS",
    "ExportRequest",
    "ExportResult",
    "HistoryExport",
    "SelectedDevice",
    "export_history",
    "guess_format",
    "select_devices",
]
