"""What ambassadors read: pages and letters, in French, Arabic and English."""
