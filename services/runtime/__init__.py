"""What every service runs on: settings, broker, store, consumption, health, the frame of a process."""
