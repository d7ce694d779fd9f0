"""Run the matcher: `python -m services.matcher`."""

import gc


def main() -> None:
    """Be the matcher."""
    gc.disable()  # what is imported stays: looking for garbage among it is a tenth of the start; `restore` goes on so
    from services.matcher.app import build
    from services.matcher.settings import MatcherSettings
    from services.runtime.settings import load

    frame = build(load(MatcherSettings))
    gc.enable()
    frame.run()


if __name__ == "__main__":
    main()
