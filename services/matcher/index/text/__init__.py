"""From what somebody wrote to words that can be compared."""
