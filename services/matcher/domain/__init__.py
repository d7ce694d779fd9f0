"""What a pairing is, without clock, input or output: time and known facts come in as arguments."""
