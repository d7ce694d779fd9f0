"""`python -m services.notifier`."""

from services.notifier.app import build
from services.notifier.settings import NotifierSettings
from services.runtime.settings import load

if __name__ == "__main__":
    build(load(NotifierSettings)).run()
