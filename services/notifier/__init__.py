"""Tells the ambassadors concerned of a suggestion, shows it to them, and relays what they make of it."""
