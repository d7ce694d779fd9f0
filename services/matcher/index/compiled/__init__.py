"""Everything that runs as machine code: how documents are kept, scored and ranked, as arrays of numbers."""
