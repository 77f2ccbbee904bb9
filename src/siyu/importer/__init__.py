"""importer: history from files into the stream, as if it had come through a door.

What: read CSV, NDJSON and Parquet (each also gzipped), map rows to events with a mapping file, append frames.
What not: no processing of its own; the processor treats imported events like all others.
Invariants: the id of an imported event is a hash of (mapping id, row content, how many equal rows stood before it in
the file), so a second import adds nothing and equal rows of one file are all kept; a bad row never stops an import.
"""

from siyu.importer.actions import ImportReport, Progress, import_file
from siyu.importer.mapping import Mapping, load_mapping, ready_mappings

__all__ = ["ImportReport", "Mapping", "Progress", "import_file", "load_mapping", "ready_mappings"]
