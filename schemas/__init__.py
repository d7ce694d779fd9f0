"""The contract: what travels between organisations, services and ambassadors.

One module a topic, each with a key model and its value models. Nothing here imports anything but pydantic and the
standard library, so a member's own producer can depend on this package alone.
"""
