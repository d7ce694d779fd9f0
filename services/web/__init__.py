"""What pages for people have in common, whichever service they are of: frame, language, headers, sessions, bounds."""
