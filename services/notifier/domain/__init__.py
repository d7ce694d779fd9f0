"""What the notifier decides, without clock, store or framework: whom to tell, when again, what is shown."""
