"""What takes many minutes is collected by `make test-faults-long` alone, so that nothing has to be skipped."""

import os

collect_ignore = [] if os.environ.get("LONG") else ["test_memory.py"]
