"""`maillage doctor`: what is wrong with a deployment, and what to do. Asking and judging are apart; judging is pure."""
