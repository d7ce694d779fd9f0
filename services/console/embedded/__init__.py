"""The parts that a deployed system brings along itself: broker, database, mail. Needs the extra `embedded`."""
