"""Run the matcher: `python -m services.matcher`."""

from services.matcher.app import build
from services.matcher.settings import MatcherSettings
from services.runtime.settings import load

if __name__ == "__main__":
    build(load(MatcherSettings)).run()
