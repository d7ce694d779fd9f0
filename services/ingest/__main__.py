"""`python -m services.ingest`."""

from services.ingest.app import build
from services.ingest.settings import IngestSettings
from services.runtime.settings import load

if __name__ == "__main__":
    build(load(IngestSettings)).run()
