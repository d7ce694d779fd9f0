"""What a deployed system needs besides its services: secrets, users of the database, a trial, backups."""
