"""What measures speed, scale and match quality, on the system as it is deployed."""
