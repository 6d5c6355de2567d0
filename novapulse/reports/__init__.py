"""Reports over a time range, as PDF, CSV and XLSX: what the queue `report` does."""
