"""The portal: pages on which an organisation describes itself and posts what it needs."""
